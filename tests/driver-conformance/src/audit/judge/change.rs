//! R1, R2 and R3 by what each call changed: mounts, counts and records before and after it.

use std::collections::BTreeSet;
use std::path::Path;

use storage_core::record::{Mounted, Proof, Truth};

use super::{Counted, Facts, Ledger, counts_of};
use crate::audit::merge::{Call, Hold, Story, level, short};
use crate::audit::order::lock_name;
use crate::audit::rule::Rule;

/// The levels of these files, by their names.
const MOUNTPOINTS: &str = "mountpoints.lock";

pub(super) fn judge(story: &Story, facts: &Facts, ledger: &mut Ledger) {
    let ids = layer_ids(story);
    for call in &story.calls {
        let Some((after, ended)) = &call.after else { continue };
        let change = Change::between(call, after, *ended);
        match call.proof {
            Proof::None | Proof::Shared | Proof::Private => reading(story, call, &change, ledger),
            Proof::Exclusive => exclusive(story, call, &change, ledger),
            Proof::Mounting => mounting(story, facts, call, &change, &ids, ledger),
        }
    }
}

/// What differs between the looks before and after a call.
struct Change {
    from: u64,
    to: u64,
    attached: Vec<Mounted>,
    detached: Vec<Mounted>,
    /// Something was attached or detached, though the tables may be the same.
    stirred: bool,
    counts: bool,
    /// The records and lock files that changed.
    files: Vec<String>,
}

impl Change {
    fn between(call: &Call, after: &Truth, ended: u64) -> Self {
        let before = &call.before;
        let missing = |mount: &&Mounted, table: &[Mounted]| !table.contains(mount);
        let attached = after.mounts.iter().filter(|mount| missing(mount, &before.mounts)).cloned().collect();
        let detached = before.mounts.iter().filter(|mount| missing(mount, &after.mounts)).cloned().collect();
        let counted = |path: &str| path.contains("/mountpoints.") || path.ends_with("/lamina-mounting");
        let changed = |path: &&String| before.files.get(*path) != after.files.get(*path) && !counted(path);
        let all: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
        Change {
            from: before.since,
            to: ended,
            attached,
            detached,
            stirred: before.stirs != after.stirs,
            counts: before.counts != after.counts,
            files: all.into_iter().filter(changed).cloned().collect(),
        }
    }

    fn mounts(&self) -> bool {
        self.stirred || !self.attached.is_empty() || !self.detached.is_empty()
    }

    fn words(&self) -> String {
        let points = |mounts: &[Mounted]| mounts.iter().map(|mount| tail(&mount.point)).collect::<Vec<_>>().join(", ");
        match (self.attached.is_empty(), self.detached.is_empty()) {
            (true, true) => "it attached something and detached it again, or the other way round".to_owned(),
            (false, true) => format!("it attached {}", points(&self.attached)),
            (true, false) => format!("it detached {}", points(&self.detached)),
            (false, false) => format!("it attached {} and detached {}", points(&self.attached), points(&self.detached)),
        }
    }
}

/// The end of a path: what tells it from others of the store.
fn tail(path: &str) -> String {
    let parts: Vec<&str> = path.rsplit('/').take(3).collect();
    parts.into_iter().rev().map(short).collect::<Vec<_>>().join("/")
}

/// Whether another thread may have held this lock exclusively at some moment of the change.
fn another_may_write(story: &Story, call: &Call, change: &Change, lock: &str) -> bool {
    let wanted = level(lock);
    story.holds.iter().any(|hold| {
        let other = (hold.process, hold.thread) != (call.process, call.thread);
        other && hold.is_exclusive() && hold.level() == wanted && hold.may_overlap(change.from, change.to)
    })
}

fn reading(story: &Story, call: &Call, change: &Change, ledger: &mut Ledger) {
    let others_mount = another_may_write(story, call, change, MOUNTPOINTS);
    let entry = ledger.checked(&call.purpose, Rule::R1);
    entry.saw("calls");
    if others_mount {
        entry.unsure += 1;
    } else if change.mounts() {
        ledger.breach(call, Rule::R1, format!("{}, with {} as proof", change.words(), proof_words(call.proof)));
    } else if change.counts {
        ledger.breach(call, Rule::R1, "it changed the mount counts");
    }
    for file in &change.files {
        if !another_may_write(story, call, change, &lock_name(file)) {
            ledger.breach(call, Rule::R1, format!("it changed the file {}", tail(file)));
        }
    }
}

fn proof_words(proof: Proof) -> &'static str {
    match proof {
        Proof::None => "nothing",
        Proof::Shared => "a shared hold",
        Proof::Exclusive => "an exclusive hold",
        Proof::Mounting => "a hold for mounting",
        Proof::Private => "a handle of its own",
    }
}

fn exclusive(story: &Story, call: &Call, change: &Change, ledger: &mut Ledger) {
    let others_mount = another_may_write(story, call, change, MOUNTPOINTS);
    let entry = ledger.checked(&call.purpose, Rule::R2);
    entry.saw("calls under an exclusive hold");
    if others_mount {
        entry.unsure += 1;
    } else if change.mounts() {
        ledger.breach(call, Rule::R2, format!("{}, with an exclusive hold as proof", change.words()));
    } else if change.counts {
        ledger.breach(call, Rule::R3, "it changed the mount counts");
    }
    records(story, call, change, ledger);
}

/// Records are the store's: a driver that writes them says nothing before it does.
fn records(story: &Story, call: &Call, change: &Change, ledger: &mut Ledger) {
    for file in &change.files {
        if !another_may_write(story, call, change, &lock_name(file)) {
            ledger.breach(call, Rule::R4, format!("it wrote {} itself, and no record of the write", tail(file)));
        }
    }
}

fn mounting(story: &Story, facts: &Facts, call: &Call, change: &Change, ids: &BTreeSet<String>, ledger: &mut Ledger) {
    let entry = ledger.checked(&call.purpose, Rule::R2);
    entry.saw("calls for mounting");
    for (what, mounts) in [("mounts attached", &change.attached), ("mounts detached", &change.detached)] {
        if !mounts.is_empty() {
            *entry.seen.entry(what).or_default() += mounts.len() as u64;
        }
    }
    if let Some(missing) = not_held(story, call, change) {
        ledger.breach(call, Rule::R2, format!("{missing} was not held exclusively all the time"));
    }
    if let Some(layer) = &call.layer {
        for mount in change.attached.iter().chain(&change.detached) {
            let other = ids.iter().find(|id| *id != layer && mount.point.contains(id.as_str()));
            if let Some(other) = other {
                let what = format!("it touched the mount of layer {} too, which nobody asked for", short(other));
                ledger.breach(call, Rule::R2, what);
            }
        }
    }
    ledger.checked(&call.purpose, Rule::R3).saw("calls with the counts held");
    if change.counts {
        ledger.breach(call, Rule::R3, "it changed the mount counts, which are the store's");
    }
    records(story, call, change, ledger);
    if facts.kernel_mounts {
        count_and_mount(call, ledger);
    }
}

/// Counted after it is mounted, uncounted before it is unmounted: so it isn't counted when the driver is asked.
fn count_and_mount(call: &Call, ledger: &mut Ledger) {
    let Some(layer) = &call.layer else { return };
    ledger.checked(&call.purpose, Rule::R4).saw("mounts that were not counted while they changed");
    let counts = counts_of(&call.before);
    if counts.iter().any(|Counted { id, .. }| id == layer) {
        let what = format!("layer {} was counted when the driver was asked", short(layer));
        ledger.breach(call, Rule::R4, what);
    }
}

/// The lock that the thread of a call for mounting didn't surely hold exclusively; by what it told, and by the kernel.
fn not_held(story: &Story, call: &Call, change: &Change) -> Option<&'static str> {
    ["layers.lock", MOUNTPOINTS].into_iter().find(|lock| {
        let own = |hold: &&Hold| (hold.process, hold.thread) == (call.process, call.thread);
        let told = story.holds.iter().filter(own).any(|hold| {
            hold.is_exclusive() && hold.level() == level(lock) && hold.surely_covers(call.begun, change.to)
        });
        let looks = [Some(&call.before), call.truth_after()];
        let shown = looks.into_iter().flatten().all(|truth| {
            truth.locks.iter().any(|seen| {
                let same = Path::new(&seen.path).file_name().is_some_and(|name| name == *lock);
                same && seen.mode == storage_core::record::LockMode::Exclusive && seen.thread == Some(call.thread)
            })
        });
        // A file that isn't at its path any more is another rule's matter.
        !told || !(shown || is_replaced(call, lock))
    })
}

fn is_replaced(call: &Call, lock: &str) -> bool {
    let gone = format!("{lock} (deleted)");
    let looks = [Some(&call.before), call.truth_after()];
    looks.into_iter().flatten().any(|truth| truth.locks.iter().any(|seen| seen.path.ends_with(&gone)))
}

/// The ids of all layers that a driver was asked about.
fn layer_ids(story: &Story) -> BTreeSet<String> {
    story.calls.iter().filter_map(|call| call.layer.clone()).collect()
}
