//! What the simulated processes do, and what must hold whatever happens.

mod layers;
mod levels;
mod lock_files;
mod mounts;
mod places;
mod records;

use std::path::Path;
use std::sync::Arc;

use shuttle::thread::{JoinHandle, spawn};
use storage_core::lockfile::{Access, LockFile, Wait};
use storage_core::locks::level::Level;
use storage_core::locks::{Flush, Guarded, RecordFile, StoreId, Table, ThreadKey};

use crate::explore::{choose, violate};
use crate::raw::SimThread;
use crate::world::{Fault, Sim, Universe};

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Fault),
    /// Over how many of its first choices the changes of priority are spread: about as many as it has.
    pub(crate) length: u64,
}

/// All of them. Each has at least two processes of two threads.
pub(crate) const ALL: [Scenario; 12] = [
    Scenario { name: "writers", run: records::writers, length: 170 },
    Scenario { name: "snapshots", run: records::snapshots, length: 110 },
    Scenario { name: "numbers", run: records::numbers, length: 50 },
    Scenario { name: "retry", run: records::retry, length: 180 },
    Scenario { name: "layers", run: layers::layers, length: 170 },
    Scenario { name: "staging", run: places::staging, length: 120 },
    Scenario { name: "trash", run: places::trash, length: 50 },
    Scenario { name: "replaced-lock", run: lock_files::replaced, length: 100 },
    Scenario { name: "mounts", run: mounts::mounts, length: 210 },
    Scenario { name: "namespaces", run: mounts::namespaces, length: 140 },
    Scenario { name: "kept-namespace", run: mounts::kept_namespace, length: 140 },
    Scenario { name: "levels", run: levels::levels, length: 150 },
];

/// What must be found to end in a deadlock.
pub(crate) const DEADLOCK: Scenario =
    Scenario { name: "opposite-orders", run: lock_files::opposite_orders, length: 60 };

/// The key of a simulated thread.
fn key() -> ThreadKey<SimThread> {
    ThreadKey::take_from_place().expect("one key a thread")
}

/// The level of the files `NAME.lock` and `NAME` in `/`.
fn level<L: Level, T: Table>(world: &Sim, store: StoreId, name: &str) -> Guarded<L, T, Sim> {
    let path = Path::new("/").join(name);
    let lock = LockFile::among(world.clone(), path.with_extension("lock"), Access::ReadWrite);
    let lock = if name == "layers.json" { lock.with_turn("/turn") } else { lock };
    let files = vec![RecordFile { path, flush: Flush::Nothing }];
    Guarded::new(store, world.clone(), vec![lock], files, Wait::forever())
}

/// Processes of which each may die, at one of its first `longest` steps.
fn processes<const N: usize>(universe: &Arc<Universe>, fault: Fault, longest: u64) -> [Sim; N] {
    std::array::from_fn(|_| {
        let dies = choose(3) == 0;
        universe.process().with(fault).dying_at(dies.then(|| choose(longest) + 1))
    })
}

/// A thread of `process`. What fails in it is a violation, unless the process is dead.
fn thread(
    process: &Sim,
    what: &'static str,
    body: impl FnOnce() -> storage_core::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    let process = process.clone();
    spawn(move || {
        if let Err(error) = body()
            && !process.is_dead()
        {
            violate(format!("{what} failed: {error}"));
        }
    })
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}
