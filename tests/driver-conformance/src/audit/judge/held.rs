//! R6 by what was done under a lock and for how long; R9 and what a driver locks by itself, by the locks that the kernel shows.

use std::collections::HashSet;
use std::path::Path;

use storage_core::record::{LockMode, LockSeen, Proof, Truth};

use super::Ledger;
use crate::audit::merge::{Call, Hold, Story, level};
use crate::audit::rule::Rule;

/// What a driver may read and write while a lock is held: nothing that grows with a layer.
const MOST_MOVED: u64 = 1 << 20;

/// Whether what a driver is asked grows with the size of a layer, waits for a flush or a reader, or has to be tried out.
pub(super) fn is_long(call: &Call) -> bool {
    matches!(
        call.operation.as_str(),
        "fill"
            | "list changes"
            | "pack"
            | "size"
            | "reclaim"
            | "sweep"
            | "drop staged"
            | "close mount"
            | "root"
            | "capabilities"
    )
}

pub(super) fn judge(story: &Story, ledger: &mut Ledger) {
    for hold in &story.holds {
        // No limit is known for a length, so it tells something and decides nothing.
        let entry = ledger.entry(&hold.purpose, Rule::R6);
        if hold.level().is_some() && hold.taken.is_some() {
            let length = hold.length();
            let what = if hold.is_exclusive() { "longest exclusive hold" } else { "longest shared hold" };
            entry.at_most(what, length, || format!("{} of {}", millis(length), file_name(&hold.path)));
        }
    }
    let mut told: HashSet<(u32, String, Option<u64>)> = HashSet::new();
    for call in &story.calls {
        under_a_lock(call, ledger);
        let looks = [Some(&call.before), call.truth_after()];
        for truth in looks.into_iter().flatten() {
            ledger.checked(&call.purpose, Rule::R9).saw("looks at the locks of the process");
            for seen in strange(truth) {
                if told.insert((call.process, seen.path.clone(), seen.made_by)) {
                    behind_the_back(story, call, seen, truth, ledger);
                }
            }
        }
    }
}

/// Nanoseconds in words.
pub(in crate::audit) fn millis(nanoseconds: u64) -> String {
    let tenths = nanoseconds / 100_000;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// R6: long work without a lock, and little work under one.
fn under_a_lock(call: &Call, ledger: &mut Ledger) {
    if is_long(call) {
        ledger.checked(&call.purpose, Rule::R6).saw("pieces of long work without a lock");
        // Nobody else waits for userns.lock, under which a copy may be made for ids that are chosen here.
        let held =
            call.before.locks.iter().chain(call.truth_after().map_or(&[][..], |truth| &truth.locks)).find(|seen| {
                let counts = level(&seen.path).is_some() && file_name(&seen.path) != "userns.lock";
                counts && (seen.thread == Some(call.thread) || seen.hold.is_none())
            });
        if let Some(held) = held {
            let what = format!("{} was held {} meanwhile", file_name(&held.path), mode_word(held.mode));
            ledger.breach(call, Rule::R6, what);
        }
    }
    if matches!(call.proof, Proof::Shared | Proof::Exclusive | Proof::Mounting)
        && let Some(moved) = moved(call)
    {
        let entry = ledger.checked(&call.purpose, Rule::R6);
        entry
            .at_most("most bytes that a driver moved under a lock", moved, || format!("{moved} in {}", call.operation));
        if moved > MOST_MOVED {
            ledger.breach(call, Rule::R6, format!("it read and wrote {} MiB under a lock", moved >> 20));
        }
    }
}

fn mode_word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Shared => "shared",
        LockMode::Exclusive => "exclusively",
    }
}

fn moved(call: &Call) -> Option<u64> {
    Some(call.truth_after()?.moved?.saturating_sub(call.before.moved?))
}

/// Locks of a store's order that the library doesn't know of.
fn strange(truth: &Truth) -> impl Iterator<Item = &LockSeen> {
    truth.locks.iter().filter(|seen| {
        let path = seen.path.trim_end_matches(" (deleted)");
        (seen.hold.is_none() || path != seen.path) && level(path).is_some()
    })
}

/// A lock that somebody has who has no business with it: which rule that breaks depends on what it is made from.
fn behind_the_back(story: &Story, call: &Call, seen: &LockSeen, truth: &Truth, ledger: &mut Ledger) {
    let name = file_name(&seen.path);
    if seen.hold.is_some() {
        let what = format!("the lock file that is held is not at its path any more: {name}");
        return ledger.breach(call, Rule::R10, what);
    }
    if let Some(number) = seen.made_by {
        let hold = story.holds.iter().find(|hold| (hold.process, hold.number) == (call.process, number));
        let purpose = hold.map_or("?", |hold| hold.purpose.as_str());
        let what =
            format!("a second descriptor of the hold of {name} for \"{purpose}\" keeps it locked past its guard");
        return ledger.breach(call, Rule::R9, what);
    }
    let now = truth.since;
    let live = |hold: &&Hold| {
        let own = (hold.process, hold.thread) == (call.process, call.thread);
        own && hold.taken.is_some_and(|taken| taken <= now) && hold.released.is_none_or(|released| released > now)
    };
    let held: Vec<&Hold> = story.holds.iter().filter(live).collect();
    let what = format!("a lock of {name} was taken behind the library's back");
    if held.iter().any(|hold| hold.path == seen.path) {
        ledger.breach(call, Rule::R7, what);
    } else if !is_long(call) {
        ledger.breach(call, Rule::R5, what);
    } else {
        ledger.breach(call, Rule::R6, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_core::record::{Event, What};

    /// A story in which a driver is asked `operation` by a thread that holds `held`, if anything.
    fn story(operation: &str, held: Option<&str>) -> Story {
        let seen = held.map(|name| LockSeen {
            path: format!("/graph/{name}"),
            mode: LockMode::Shared,
            kind: "OFDLCK".to_owned(),
            hold: Some(1),
            made_by: Some(1),
            thread: Some(7),
        });
        let truth = Truth { locks: seen.into_iter().collect(), ..Truth::default() };
        let (call, outcome) = (1, "ok".to_owned());
        let begun = What::Begun {
            call,
            operation: operation.to_owned(),
            proof: Proof::None,
            layer: None,
            truth: truth.clone(),
        };
        let events = [begun, What::Ended { call, outcome, truth }].into_iter().zip(1..);
        let event = |(what, time)| Event { time, process: 1, thread: 7, purpose: "create layer".to_owned(), what };
        Story::of(events.map(event).collect())
    }

    #[test]
    fn what_may_take_long_is_not_asked_under_a_lock() {
        for operation in ["capabilities", "fill", "pack"] {
            for (held, broken) in [(Some("layers.lock"), 1), (Some("userns.lock"), 0), (None, 0)] {
                let mut ledger = Ledger::default();
                judge(&story(operation, held), &mut ledger);
                assert_eq!(ledger.entry("create layer", Rule::R6).broken.len(), broken, "{operation} under {held:?}");
            }
        }
        let mut ledger = Ledger::default();
        judge(&story("exists", Some("layers.lock")), &mut ledger);
        assert!(ledger.entry("create layer", Rule::R6).broken.is_empty(), "a short question is asked under one");
    }
}
