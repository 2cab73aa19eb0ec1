//! A worker that kills itself at an event of its own recording.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use storage_core::record::{Event, Lines, Sink};

/// Writes events, and after one of them no more.
pub(super) struct Dying {
    lines: Lines,
    left: AtomicU64,
}

impl Dying {
    /// Dies after the event numbered `at`, the first being 1; nought never comes.
    pub(super) fn at(lines: Lines, at: u64) -> Self {
        Dying { lines, left: AtomicU64::new(at) }
    }
}

impl Sink for Dying {
    fn note(&self, event: &Event) {
        self.lines.note(event);
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = kill(Pid::this(), Signal::SIGKILL);
            // The signal comes before the call returns, or at once after it.
            loop {
                std::thread::park();
            }
        }
    }
}
