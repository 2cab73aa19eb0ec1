//! Long work that can be watched and stopped.
//!
//! Everything in this library that grows with the size of a layer takes a [`Task`]: it adds what it has done and learns
//! whether to go on. A task is shared by reference between the threads of one operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::error::{Error, Kind, Result};

/// How much of a task is done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of archive or file data handled.
    pub bytes: u64,
    /// Files, directories and other entries handled.
    pub entries: u64,
}

/// A wish to stop, shared by whoever may utter it and the work that heeds it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop at its next step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

type Report = dyn Fn(Progress) + Send + Sync;

/// Takes every step of a task, and says whether to go on.
type Forward = dyn Fn(u64, u64) -> Result<()> + Send + Sync;

/// One piece of long work: counters, a wish to stop, and a callback for whoever watches.
pub struct Task {
    operation: &'static str,
    cancel: Cancel,
    report: Option<Arc<Report>>,
    forward: Option<Box<Forward>>,
    started: Instant,
    next_report_ms: AtomicU64,
    bytes: AtomicU64,
    entries: AtomicU64,
}

/// The least time between two calls of a progress callback, in milliseconds.
const REPORT_EVERY_MS: u64 = 100;

impl Task {
    /// Work that nobody watches and nobody stops; `operation` names it in errors.
    pub fn new(operation: &'static str) -> Self {
        Task {
            operation,
            cancel: Cancel::default(),
            report: None,
            forward: None,
            started: Instant::now(),
            next_report_ms: AtomicU64::new(REPORT_EVERY_MS),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        }
    }

    /// Heeds `cancel` from now on.
    pub fn cancelled_by(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Calls `report` from the working thread, at most ten times a second.
    pub fn reporting(mut self, report: Arc<Report>) -> Self {
        self.report = Some(report);
        self
    }

    /// Work whose every step goes on to a task elsewhere, by `forward`: across the border to a plugin.
    pub(crate) fn forwarding(operation: &'static str, forward: Box<Forward>) -> Self {
        Task { forward: Some(forward), ..Task::new(operation) }
    }

    /// Adds finished work. Fails with [`Kind::Cancelled`] when the task was asked to stop.
    pub fn step(&self, bytes: u64, entries: u64) -> Result<()> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        if self.cancel.is_cancelled() {
            return Err(Error::new(Kind::Cancelled, self.operation));
        }
        if let Some(forward) = &self.forward {
            forward(bytes, entries)?;
        }
        if let Some(report) = &self.report {
            let elapsed = self.started.elapsed().as_millis() as u64;
            let due = self.next_report_ms.load(Ordering::Relaxed);
            let next = elapsed + REPORT_EVERY_MS;
            if elapsed >= due
                && self.next_report_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                report(self.progress());
            }
        }
        Ok(())
    }

    /// What is done so far.
    pub fn progress(&self) -> Progress {
        Progress { bytes: self.bytes.load(Ordering::Relaxed), entries: self.entries.load(Ordering::Relaxed) }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("operation", &self.operation)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_task_stops_at_its_next_step() {
        let cancel = Cancel::default();
        let task = Task::new("copy").cancelled_by(cancel.clone());
        assert!(task.step(1, 1).is_ok());
        cancel.cancel();
        assert_eq!(task.step(1, 0).map_err(|error| error.kind()), Err(Kind::Cancelled));
        assert_eq!(task.progress(), Progress { bytes: 2, entries: 1 }, "work done before the stop is still counted");
    }
}
