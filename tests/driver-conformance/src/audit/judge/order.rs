//! R4, R5 and R7 by the order of what each thread did: writes under a hold, waits while others are held.

use std::collections::HashMap;
use std::path::Path;

use super::Ledger;
use crate::audit::merge::{Call, Hold, Story, level};
use crate::audit::rule::Rule;

pub(super) fn judge(story: &Story, ledger: &mut Ledger) {
    waits(story, ledger);
    writes(story, ledger);
}

/// Every hold against those that its thread had when it was wanted.
fn waits(story: &Story, ledger: &mut Ledger) {
    let mut by_thread: HashMap<(u32, u64), Vec<&Hold>> = HashMap::new();
    for hold in &story.holds {
        let thread = by_thread.entry((hold.process, hold.thread)).or_default();
        let held = thread.iter().filter(|earlier| is_held_at(earlier, hold.wanted));
        let by_driver = hold.level().and_then(|_| story.calls.iter().find(|call| is_inside(call, hold)));
        let call = by_driver.map_or(hold.purpose.as_str(), |call| call.operation.as_str());
        if hold.waits && hold.level().is_some() {
            ledger.checked(&hold.purpose, Rule::R5).saw("waits");
            ledger.checked(&hold.purpose, Rule::R7).saw("waits");
        }
        let mut told = false;
        for earlier in held {
            let (Some(level), Some(above)) = (hold.level(), earlier.level()) else { continue };
            if earlier.path == hold.path && hold.waits {
                let what = format!("a thread that holds {} asked for it once more", name(&hold.path));
                ledger.broken(&hold.purpose, Rule::R7, call, what);
                told = true;
            } else if level < above && hold.waits {
                let what = format!("a thread asked for {} while it held {}", name(&hold.path), name(&earlier.path));
                ledger.broken(&hold.purpose, Rule::R5, call, what);
                told = true;
            }
        }
        if let Some(by) = by_driver.filter(|_| !told && hold.level().is_some()) {
            let rule = if super::held::is_long(by) { Rule::R6 } else { Rule::R5 };
            let what = format!("the driver took {} itself, where it holds none", name(&hold.path));
            ledger.broken(&hold.purpose, rule, call, what);
        }
        thread.push(hold);
    }
}

fn is_held_at(hold: &Hold, time: u64) -> bool {
    hold.taken.is_some_and(|taken| taken <= time) && hold.released.is_none_or(|released| released > time)
}

/// Whether a lock was wanted by the driver, in this call.
fn is_inside(call: &Call, hold: &Hold) -> bool {
    let ended = call.after.as_ref().map_or(u64::MAX, |(truth, _)| truth.since);
    (call.process, call.thread) == (hold.process, hold.thread) && call.begun <= hold.wanted && hold.wanted <= ended
        // A stream is written, and its end is checked, by a call back into the store.
        && call.operation != "pack"
}

fn name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Every write of a file of records against the record of the write before it, in one hold.
fn writes(story: &Story, ledger: &mut Ledger) {
    for (number, write) in story.writes.iter().enumerate() {
        let Some(lock) = lock_for(&write.path) else { continue };
        let same = |hold: &&Hold| (hold.process, hold.thread) == (write.process, write.thread);
        let hold = story.holds.iter().filter(same).find(|hold| {
            hold.level() == level(lock) && hold.is_exclusive() && hold.surely_covers(write.time, write.time)
        });
        let Some(hold) = hold else {
            let what = format!("{} was written without {lock} held", name(&write.path));
            ledger.broken(&write.purpose, Rule::R4, &write.purpose, what);
            continue;
        };
        ledger.checked(&write.purpose, Rule::R4).saw("writes of records, each said before");
        if lock == "mountpoints.lock" {
            ledger.checked(&write.purpose, Rule::R3).saw("counts written under the hold that read them");
        }
        let said = story.writes[..number].iter().rev().find(|earlier| {
            let own = (earlier.process, earlier.thread) == (write.process, write.thread);
            own && (earlier.path == hold.path || earlier.path == write.path)
        });
        let is_said = said.is_some_and(|said| said.path == hold.path && hold.taken.is_some_and(|at| at <= said.time));
        if !is_said {
            let what = format!("{} was written before the record of the write", name(&write.path));
            ledger.broken(&write.purpose, Rule::R4, &write.purpose, what);
        }
    }
}

/// The lock file under which a file of records is written; none for other files.
fn lock_for(path: &str) -> Option<&'static str> {
    match name(path).as_str() {
        "layers.json" | "volatile-layers.json" => Some("layers.lock"),
        "mountpoints.json" => Some("mountpoints.lock"),
        "images.json" => Some("images.lock"),
        "containers.json" | "volatile-containers.json" => Some("containers.lock"),
        _ => None,
    }
}
