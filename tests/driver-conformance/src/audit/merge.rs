//! Recordings of several processes, merged into one story: holds and calls with a beginning and an end.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use storage_core::record::{Event, LockMode, Proof, Truth, What};

/// The levels of locking by the names of their files, in the one order.
const LEVELS: &[(&str, &str)] = &[
    ("storage.lock", "storage"),
    ("userns.lock", "userns"),
    ("layers.lock", "layers"),
    ("mountpoints.lock", "mountpoints"),
    ("images.lock", "images"),
    ("containers.lock", "containers"),
];

/// Where the lock at `path` stands in the order; none for one that is not of a store's order.
pub(super) fn level(path: &str) -> Option<usize> {
    let name = Path::new(path).file_name()?.to_str()?;
    LEVELS.iter().position(|(file, _)| *file == name)
}

/// The short names of the levels.
pub(super) fn level_names() -> impl Iterator<Item = &'static str> {
    LEVELS.iter().map(|(_, name)| *name)
}

/// One hold of a lock, as far as it is told.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) process: u32,
    pub(super) thread: u64,
    pub(super) purpose: String,
    pub(super) number: u64,
    pub(super) path: String,
    /// Where the lock stands in the order.
    pub(super) level: Option<usize>,
    pub(super) mode: LockMode,
    pub(super) waits: bool,
    pub(super) wanted: u64,
    /// When it surely was had.
    pub(super) taken: Option<u64>,
    /// When its thread last said something while it surely was held.
    pub(super) last: u64,
    /// When it surely was given back; none when nobody said so.
    pub(super) released: Option<u64>,
}

/// One call of a driver.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) process: u32,
    pub(super) thread: u64,
    pub(super) purpose: String,
    pub(super) operation: String,
    pub(super) proof: Proof,
    pub(super) layer: Option<String>,
    /// When the driver was asked; the look before came between `before.since` and this.
    pub(super) begun: u64,
    pub(super) before: Truth,
    /// The look after, and when it was through; none when the process died in the call.
    pub(super) after: Option<(Truth, u64)>,
    pub(super) outcome: String,
}

/// A write of a record.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) process: u32,
    pub(super) thread: u64,
    pub(super) purpose: String,
    pub(super) time: u64,
    pub(super) path: String,
}

/// Everything that was recorded in one scenario.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) holds: Vec<Hold>,
    pub(super) calls: Vec<Call>,
    pub(super) writes: Vec<Write>,
    /// How many events there were.
    pub(super) events: usize,
    pub(super) threads: BTreeSet<(u32, u64)>,
}

/// The events in files; a line that was cut off by a death is left out.
pub(super) fn read(logs: &[impl AsRef<Path>]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for log in logs {
        let text = fs::read_to_string(log).unwrap_or_default();
        events.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
    }
    // Stable: what one thread noted in one moment keeps its order.
    events.sort_by_key(|event| event.time);
    events
}

impl Story {
    /// Puts events in order.
    pub(super) fn of(events: Vec<Event>) -> Self {
        let mut story = Story { events: events.len(), ..Story::default() };
        let (mut holds, mut calls) = (HashMap::new(), HashMap::new());
        // The last moment of each thread before the event at hand.
        let mut last: HashMap<(u32, u64), u64> = HashMap::new();
        for event in events {
            let Event { time, process, thread, purpose, what } = event;
            let before = last.insert((process, thread), time).unwrap_or(time);
            story.threads.insert((process, thread));
            match what {
                What::Wanted { hold, path, mode, waits } => {
                    holds.insert((process, hold), story.holds.len());
                    story.holds.push(Hold {
                        process,
                        thread,
                        purpose,
                        number: hold,
                        level: level(&path),
                        path,
                        mode,
                        waits,
                        wanted: time,
                        taken: None,
                        last: time,
                        released: None,
                    });
                }
                What::Taken { hold, .. } => story.with(&holds, (process, hold), |hold| {
                    (hold.taken, hold.last) = (Some(time), time);
                }),
                What::Missed { hold } | What::Released { hold, .. } => {
                    story.with(&holds, (process, hold), |hold| {
                        hold.released = Some(time);
                        hold.last = before.max(hold.last);
                    });
                }
                What::Wrote { path } => story.writes.push(Write { process, thread, purpose, time, path }),
                What::Begun { call, operation, proof, layer, truth } => {
                    calls.insert((process, call), story.calls.len());
                    let (before, outcome) = (truth, String::new());
                    let (begun, after) = (time, None);
                    story.calls.push(Call {
                        process,
                        thread,
                        purpose,
                        operation,
                        proof,
                        layer,
                        begun,
                        before,
                        after,
                        outcome,
                    });
                }
                What::Ended { call, outcome, truth } => {
                    if let Some(call) = calls.get(&(process, call)).and_then(|number| story.calls.get_mut(*number)) {
                        (call.after, call.outcome) = (Some((truth, time)), outcome);
                    }
                }
                _ => {}
            }
        }
        // What nobody gave back was held as long as its thread said anything.
        for hold in story.holds.iter_mut().filter(|hold| hold.released.is_none() && hold.taken.is_some()) {
            hold.last = last.get(&(hold.process, hold.thread)).copied().unwrap_or(hold.last);
        }
        story
    }

    fn with(&mut self, holds: &HashMap<(u32, u64), usize>, which: (u32, u64), change: impl FnOnce(&mut Hold)) {
        if let Some(hold) = holds.get(&which).and_then(|number| self.holds.get_mut(*number)) {
            change(hold);
        }
    }

    /// Says that a process died, and when that was certain: it holds nothing from then on.
    pub(super) fn died(&mut self, process: u32, at: u64) {
        let left = self.holds.iter_mut().filter(|hold| hold.process == process && hold.released.is_none());
        left.for_each(|hold| hold.released = Some(at));
    }

    /// How many processes told something.
    pub(super) fn processes(&self) -> usize {
        self.threads.iter().map(|(process, _)| process).collect::<BTreeSet<_>>().len()
    }
}

impl Hold {
    pub(super) fn level(&self) -> Option<usize> {
        self.level
    }

    /// Whether it may have been held at some moment of this time, by all that is known.
    pub(super) fn may_overlap(&self, from: u64, to: u64) -> bool {
        self.wanted <= to && self.released.is_none_or(|released| released >= from)
    }

    /// Whether it surely was held all this time.
    pub(super) fn surely_covers(&self, from: u64, to: u64) -> bool {
        self.taken.is_some_and(|taken| taken <= from) && to <= self.last
    }

    /// For how long it surely was held.
    pub(super) fn length(&self) -> u64 {
        match (self.taken, self.released) {
            (Some(taken), Some(released)) => released.saturating_sub(taken),
            _ => 0,
        }
    }

    pub(super) fn is_exclusive(&self) -> bool {
        self.mode == LockMode::Exclusive
    }
}

impl Call {
    /// The look after the call; none when the process died in it.
    pub(super) fn truth_after(&self) -> Option<&Truth> {
        self.after.as_ref().map(|(truth, _)| truth)
    }
}

/// The beginning of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
