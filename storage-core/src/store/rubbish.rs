//! What is to be thrown away once the locks are released.

use std::time::{Duration, Instant};

use super::Store;
use crate::driver::{Detached, Trash};
use crate::task::Task;

/// How long a writer reclaims what others left when they died.
const SWEEP_FOR: Duration = Duration::from_millis(500);

/// Trash, and mounts that have lost their path. It is declared before the guards, so that it is dropped after them: deleting
/// and flushing wait for no lock and make nobody wait (R6).
///
/// What can't be deleted stays where it is, and the next writer or `gc` tries again.
#[derive(Debug)]
pub(super) struct Rubbish<'s> {
    store: &'s Store,
    task: Option<&'s Task>,
    trash: Vec<Box<dyn Trash>>,
    detached: Vec<Detached>,
}

impl<'s> Rubbish<'s> {
    pub(super) fn of(store: &'s Store) -> Self {
        Rubbish { store, task: None, trash: Vec::new(), detached: Vec::new() }
    }

    /// Lets `task` watch the deleting and stop it; what is then left is trash like any other.
    pub(super) fn watched_by(mut self, task: &'s Task) -> Self {
        self.task = Some(task);
        self
    }

    pub(super) fn add(&mut self, trash: Box<dyn Trash>) {
        self.trash.push(trash);
    }

    pub(super) fn add_mount(&mut self, detached: Detached) {
        self.detached.push(detached);
    }
}

impl Drop for Rubbish<'_> {
    fn drop(&mut self) {
        let own = Task::new("reclaim");
        let task = self.task.unwrap_or(&own);
        self.detached.clear();
        for trash in self.trash.drain(..) {
            let _ = trash.reclaim(task);
        }
        let deadline = Instant::now() + SWEEP_FOR;
        let _ = self.store.gate.sweep(deadline, task);
        for places in self.store.all_side_places() {
            let _ = places.sweep(deadline, task);
        }
    }
}
