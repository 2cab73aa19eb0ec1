//! Holds of lock files: noted when wanted, taken and given back, and known by their descriptor while they live.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::{LockMode, What, event, is_on, recorder, recorder_of, text};

/// Whether a thread waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as it takes, or until a deadline.
    Waits,
    /// It asks once.
    Tries,
}

/// What accompanies the descriptor of a hold. It is dropped after the descriptor, so that a lock which the kernel shows and
/// nobody here knows was taken behind the library's back.
#[derive(Debug)]
pub(crate) struct Held {
    /// Nought when nothing was recorded as it began.
    number: u64,
}

/// A hold that lives.
#[derive(Clone, Copy, Debug)]
struct Live {
    descriptor: i32,
    thread: u64,
    since: u64,
    taken: bool,
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static LIVE: Mutex<Option<HashMap<u64, Live>>> = Mutex::new(None);

impl Held {
    /// The lock file `file` at `path` is about to be locked.
    pub(crate) fn wanted<'f>(
        descriptor: impl FnOnce() -> Option<BorrowedFd<'f>>,
        path: &Path,
        mode: impl Into<LockMode>,
        patience: Patience,
    ) -> Self {
        if !is_on() {
            return Held { number: 0 };
        }
        let (Some(recorder), Some(descriptor)) = (recorder_of(path), descriptor()) else { return Held { number: 0 } };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let live =
            Live { descriptor: descriptor.as_raw_fd(), thread: event::thread(), since: event::now(), taken: false };
        LIVE.lock().get_or_insert_default().insert(number, live);
        // Nobody reads or writes a lock file at its offset, which all descriptors of one hold have in common: it marks them.
        let _ = rustix::fs::seek(descriptor, rustix::fs::SeekFrom::Start(number));
        let waits = patience == Patience::Waits;
        recorder.note(What::Wanted { hold: number, path: text(path), mode: mode.into(), waits });
        Held { number }
    }

    /// The lock was had.
    pub(crate) fn taken(self) -> Self {
        if self.number > 0 {
            let now = event::now();
            let waited = LIVE.lock().as_mut().and_then(|live| live.get_mut(&self.number)).map_or(0, |live| {
                live.taken = true;
                now.saturating_sub(std::mem::replace(&mut live.since, now))
            });
            if let Some(recorder) = recorder() {
                recorder.note(What::Taken { hold: self.number, waited });
            }
        }
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        let live = LIVE.lock().as_mut().and_then(|live| live.remove(&self.number));
        let (Some(live), Some(recorder)) = (live, recorder()) else { return };
        let hold = self.number;
        recorder.note(if live.taken {
            What::Released { hold, held: event::now().saturating_sub(live.since) }
        } else {
            What::Missed { hold }
        });
    }
}

/// The hold whose mark a text of `fdinfo` shows.
pub(super) fn of_offset(info: &str) -> Option<u64> {
    let offset = info.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()?;
    (offset > 0).then_some(offset)
}

/// The holds that live, standing still: while this exists no lock is taken and none is forgotten that was given back. So a lock
/// that the kernel shows meanwhile is a known one, or nobody's here.
pub(super) struct Known(MutexGuard<'static, Option<HashMap<u64, Live>>>);

/// Lets the holds stand still.
pub(super) fn known() -> Known {
    Known(LIVE.lock())
}

impl Known {
    /// The hold whose descriptor this is, and its thread. Of several the latest: a descriptor is closed, and may be used again,
    /// just before its hold is forgotten.
    pub(super) fn of_descriptor(&self, descriptor: i32) -> Option<(u64, u64)> {
        let live = self.0.as_ref()?.iter().filter(|(_, live)| live.descriptor == descriptor);
        live.max_by_key(|(number, _)| **number).map(|(number, live)| (*number, live.thread))
    }
}
