//! How long to wait for a lock, and who is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Holder, Mode};

/// A wait that has gone on for a while.
#[derive(Clone, Debug)]
pub struct LockWait {
    /// The lock file.
    pub path: PathBuf,
    /// How the lock is wanted.
    pub mode: Mode,
    /// How long the wait has gone on.
    pub waited: Duration,
    /// Who holds the lock, as far as can be seen.
    pub holders: Vec<Holder>,
}

type Notice = dyn Fn(&LockWait) + Send + Sync;

/// How long to wait for a lock. The default is for ever, in silence.
#[derive(Clone, Default)]
pub struct Wait {
    limit: Option<Duration>,
    notice: Option<(Duration, Arc<Notice>)>,
}

impl Wait {
    /// Waits for ever.
    pub fn forever() -> Self {
        Wait::default()
    }

    /// Fails with [`crate::Kind::Locked`] after `limit`.
    pub fn at_most(limit: Duration) -> Self {
        Wait { limit: Some(limit), notice: None }
    }

    /// Calls `notice` once, from another thread, when a wait has gone on for `after`; the wait goes on.
    pub fn noticing(mut self, after: Duration, notice: Arc<Notice>) -> Self {
        self.notice = Some((after, notice));
        self
    }

    pub(super) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Runs `block`; should it take long, the watcher is told by `report` from another thread, which nobody waits for.
    pub(super) fn watch<R>(
        &self,
        report: impl FnOnce(Duration) -> LockWait + Send + 'static,
        block: impl FnOnce() -> R,
    ) -> R {
        let Some((after, notice)) = self.notice.clone() else { return block() };
        let finished = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = Arc::clone(&finished);
        // Where no thread is to be had, the wait goes on in silence.
        let _ = std::thread::Builder::new().name("lock wait".to_owned()).spawn(move || {
            let mut done = seen.0.lock();
            seen.1.wait_while_for(&mut done, |done| !*done, after);
            if !*done {
                drop(done);
                notice(&report(after));
            }
        });
        let result = block();
        *finished.0.lock() = true;
        finished.1.notify_all();
        result
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("limit", &self.limit).finish_non_exhaustive()
    }
}
