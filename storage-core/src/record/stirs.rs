//! Whether anything was attached or detached, also if it is gone again.
//!
//! The kernel tells a reader of a mount table, by `poll`, that the table changed since it was last asked. So a mount that comes
//! and goes between two looks is noticed.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;

use crate::error::{OsContext, Result};

/// Counts changes of a mount namespace, as far as they are told apart: those between two questions count as one.
pub(super) struct Stirs {
    table: File,
    count: Mutex<u64>,
}

impl Stirs {
    /// Counts those of the mount namespace of this thread from here on.
    pub(super) fn begin() -> Result<Self> {
        let path = Path::new("/proc/thread-self/mountinfo");
        let stirs = Stirs { table: File::open(path).os("open", path)?, count: Mutex::new(0) };
        stirs.count();
        Ok(stirs)
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        let mut count = self.count.lock();
        let mut polled = [PollFd::new(self.table.as_fd(), PollFlags::POLLPRI)];
        let asked = poll(&mut polled, PollTimeout::ZERO);
        if asked.is_ok() && polled[0].revents().is_some_and(|told| told.contains(PollFlags::POLLPRI)) {
            *count += 1;
        }
        *count
    }
}
