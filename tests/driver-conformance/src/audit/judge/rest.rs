//! Counts and mounts when nobody is changing them: R3 while all live, R8 when somebody died.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use storage_core::record::{Mounted, Truth};

use super::{Facts, Ledger};
use crate::audit::merge::{Hold, Story, level, short};
use crate::audit::rule::Rule;

/// One entry of `mountpoints.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::audit) struct Counted {
    pub(in crate::audit) id: String,
    #[serde(default)]
    pub(in crate::audit) path: String,
    #[serde(default)]
    pub(in crate::audit) count: i64,
}

/// The layers that a look found counted.
pub(in crate::audit) fn counts_of(truth: &Truth) -> Vec<Counted> {
    let text = truth.counts.as_deref().unwrap_or_default();
    let all: Option<Vec<Counted>> = serde_json::from_str(text).unwrap_or_default();
    all.unwrap_or_default().into_iter().filter(|one| one.count > 0).collect()
}

/// The mounts of a look that are layers'.
pub(in crate::audit) fn layer_mounts<'t>(truth: &'t Truth, homes: &[PathBuf]) -> Vec<&'t Mounted> {
    truth.mounts.iter().filter(|mount| !homes.iter().any(|home| home.as_os_str() == mount.point.as_str())).collect()
}

pub(super) fn judge(story: &Story, facts: &Facts, ledger: &mut Ledger) {
    let mut looks: Vec<(&Truth, u64, &str, &str)> = Vec::new();
    for call in &story.calls {
        looks.push((&call.before, call.begun, &call.purpose, &call.operation));
        if let Some((after, ended)) = &call.after {
            looks.push((after, *ended, &call.purpose, &call.operation));
        }
    }
    looks.sort_by_key(|(_, time, ..)| *time);
    let counts = level("mountpoints.lock");
    let writers: Vec<&Hold> = story.holds.iter().filter(|hold| hold.is_exclusive() && hold.level() == counts).collect();
    let writer_between = |from: u64, to: u64| writers.iter().any(|hold| hold.may_overlap(from, to));
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for (call, after) in story.calls.iter().filter_map(|call| Some((call, call.truth_after()?))) {
        let new = after.mounts.iter().filter(|mount| !call.before.mounts.contains(mount));
        owners.extend(new.filter_map(|mount| Some((mount.point.as_str(), call.layer.as_deref()?))));
    }
    let mut former: Option<(&Truth, u64)> = None;
    for (truth, time, purpose, operation) in looks {
        if let Some((before, _)) = former
            && before.counts != truth.counts
            && !writer_between(before.since.min(truth.since), time)
        {
            ledger.broken(purpose, Rule::R3, operation, "the counts changed though nobody held them");
        }
        if !writer_between(truth.since, time) {
            ledger.checked(purpose, Rule::R3).saw("looks at counts and mounts at rest");
            for wrong in disagreements_of(truth, facts, &owners) {
                ledger.broken(purpose, Rule::R3, operation, wrong);
            }
        }
        former = Some((truth, time));
    }
}

/// In what counts and mounts differ.
pub(in crate::audit) fn disagreements(truth: &Truth, facts: &Facts) -> Vec<String> {
    disagreements_of(truth, facts, &HashMap::new())
}

/// The same, where `owners` tells for which layer something else than its mount was attached.
fn disagreements_of(truth: &Truth, facts: &Facts, owners: &HashMap<&str, &str>) -> Vec<String> {
    let counts = counts_of(truth);
    let mut mounts = layer_mounts(truth, &facts.homes);
    mounts.retain(|mount| !facts.left.contains(&mount.point));
    let owned = |mount: &&&Mounted| {
        let owner = owners.get(mount.point.as_str());
        owner.is_some_and(|owner| counts.iter().any(|one| one.id == *owner))
    };
    if !facts.kernel_mounts {
        return mounts
            .iter()
            .filter(|mount| !owned(mount))
            .map(|mount| format!("something is mounted: {}", mount.point))
            .collect();
    }
    let unseen = counts.iter().filter(|one| !mounts.iter().any(|mount| mount.point == one.path));
    let uncounted = mounts.iter().filter(|mount| !owned(mount) && !counts.iter().any(|one| one.path == mount.point));
    let unseen = unseen.map(|one| format!("counted and not mounted: layer {}", short(&one.id)));
    unseen.chain(uncounted.map(|mount| format!("mounted and not counted: {}", mount.point))).collect()
}
