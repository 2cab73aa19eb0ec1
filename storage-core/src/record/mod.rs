//! What is locked, and what drivers are asked, as it happens: for the audit of the locking rules.
//!
//! Off by default. While it is off, every place that could note something costs one relaxed load of an atomic. While it is
//! on, one recording takes in the whole process: every hold of a lock file, every call of a driver, every write of a record.
//!
//! ```text
//! an operation of the store    its name stands in each event of its thread
//!   a hold of a lock file      wanted, taken (or not), released
//!   a call of a driver         begun and ended, each with a look at the truth ([`Truth`])
//!   a write                    of a last-writer record, or of a file of records
//! ```
//!
//! The truth is read from the kernel and from disk, not from what the library believes: what a driver does behind the
//! library's back is seen too. Events go to a [`Sink`] of the caller's, with times of `CLOCK_MONOTONIC`, so that those of several
//! processes can be merged.
//!
//! This module stands at the bottom of the house, because locks are taken at the bottom.

mod call;
mod event;
mod holds;
pub mod peek;
mod purpose;
mod sink;
mod stirs;
mod truth;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

pub(crate) use call::{Call, Handle, call, on_handle};
pub use event::{Event, LockMode, LockSeen, Mounted, Proof, Truth, What};
pub(crate) use holds::{Held, Patience};
pub(crate) use purpose::purpose;
pub use sink::{Lines, Sink};

use crate::error::{Error, Kind, Result};
use stirs::Stirs;

static ON: AtomicBool = AtomicBool::new(false);
static RECORDER: RwLock<Option<Arc<Recorder>>> = RwLock::new(None);

/// What a recording is about.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The graph root, the run root and others of the store: locks and mounts below them are noted.
    pub roots: Vec<PathBuf>,
    /// `mountpoints.json`.
    pub counts: PathBuf,
    /// Files whose replacement is to be seen: records, and lock files for what is written in them.
    pub files: Vec<PathBuf>,
}

impl Places {
    fn covers(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }
}

struct Recorder {
    places: Places,
    stirs: Stirs,
    sink: Box<dyn Sink>,
}

/// A recording that goes on until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the recording"]
pub struct Recording(());

impl Drop for Recording {
    fn drop(&mut self) {
        ON.store(false, Ordering::Relaxed);
        // The sink may hold whatever its maker gave it, so it goes after the lock.
        let ended = RECORDER.write().take();
        drop(ended);
    }
}

/// Records what this process does at `places` into `sink`. Fails with [`Kind::Busy`] while another recording goes on.
pub fn start(places: Places, sink: Box<dyn Sink>) -> Result<Recording> {
    let stirs = Stirs::begin()?;
    let mut recorder = RECORDER.write();
    if recorder.is_some() {
        return Err(Error::new(Kind::Busy, "record").detail("another recording goes on in this process"));
    }
    *recorder = Some(Arc::new(Recorder { places, stirs, sink }));
    ON.store(true, Ordering::Relaxed);
    Ok(Recording(()))
}

/// Whether a recording goes on.
#[inline]
pub fn is_on() -> bool {
    !cfg!(feature = "without-recorder") && ON.load(Ordering::Relaxed)
}

/// Notes that a last-writer record or a file of records was written.
pub(crate) fn wrote(path: &Path) {
    if is_on()
        && let Some(recorder) = recorder_of(path)
    {
        recorder.note(What::Wrote { path: text(path) });
    }
}

fn recorder() -> Option<Arc<Recorder>> {
    RECORDER.read().clone()
}

fn recorder_of(path: &Path) -> Option<Arc<Recorder>> {
    recorder().filter(|recorder| recorder.places.covers(path))
}

impl Recorder {
    fn note(&self, what: What) {
        self.note_for(purpose::current(), what);
    }

    fn note_for(&self, purpose: &str, what: What) {
        self.sink.note(&Event {
            time: event::now(),
            process: std::process::id(),
            thread: event::thread(),
            purpose: purpose.to_owned(),
            what,
        });
    }

    fn look(&self) -> Truth {
        truth::look(&self.places, &self.stirs)
    }
}

/// A path as events carry it.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::{Access, LockFile, Mode, Wait};

    /// Keeps what it is told.
    #[derive(Clone, Default)]
    struct Kept(Arc<parking_lot::Mutex<Vec<Event>>>);

    impl Sink for Kept {
        fn note(&self, event: &Event) {
            self.0.lock().push(event.clone());
        }
    }

    fn words(kept: &Kept, root: &Path) -> Vec<String> {
        let own = event::thread();
        let below = |path: &String| Path::new(path).starts_with(root);
        let mut told = Vec::new();
        for event in kept.0.lock().iter().filter(|event| event.thread == own) {
            told.push(match &event.what {
                What::Wanted { path, mode, .. } if below(path) => format!("{} wanted {mode:?}", event.purpose),
                What::Taken { .. } => "taken".to_owned(),
                What::Missed { .. } => "missed".to_owned(),
                What::Released { .. } => "released".to_owned(),
                What::Wrote { path } if below(path) => "wrote".to_owned(),
                What::Begun { operation, proof, truth, .. } => {
                    let of_ours: Vec<_> = truth.locks.iter().map(|lock| (lock.mode, lock.hold.is_some())).collect();
                    format!("{operation} begun with {proof:?} under {of_ours:?}")
                }
                What::Ended { outcome, .. } => format!("ended {outcome}"),
                _ => continue,
            });
        }
        told
    }

    #[test]
    fn holds_calls_and_writes_are_noted_in_their_order_while_a_recording_goes_on_and_not_after() {
        let dir = tempfile::tempdir().expect("dir");
        let lock = LockFile::new(dir.path().join("layers.lock"), Access::ReadWrite);
        let kept = Kept::default();
        let places = Places { roots: vec![dir.path().to_path_buf()], ..Places::default() };
        drop(lock.acquire(Mode::Shared, &Wait::forever()).expect("before"));
        let recording = start(places.clone(), Box::new(kept.clone())).expect("the only recording");
        assert_eq!(start(places, Box::new(kept.clone())).map_err(|error| error.kind()).err(), Some(Kind::Busy));
        {
            let _outer = purpose("mount");
            let _inner = purpose("something inside");
            let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
            assert!(lock.try_acquire(Mode::Shared).expect("try").is_none());
            held.record_write().expect("write");
            call("exists", Proof::Shared, None, || Ok(())).expect("a call");
            drop(held);
        }
        drop(recording);
        drop(lock.acquire(Mode::Shared, &Wait::forever()).expect("after"));
        let expected = [
            "mount wanted Exclusive",
            "taken",
            "mount wanted Shared",
            "missed",
            "wrote",
            "exists begun with Shared under [(Exclusive, true)]",
            "ended ok",
            "released",
        ];
        assert_eq!(words(&kept, dir.path()), expected);
    }
}
