//! A lock file that is replaced while others wait for it, as `podman system reset` does: who holds it excludes everybody who
//! came after the replacement.

use std::path::Path;
use std::sync::{Arc, Mutex};

use storage_core::Result;
use storage_core::fs::Files;
use storage_core::lockfile::{Access, LockFile, Mode, Wait};

use super::{join, processes, thread};
use crate::explore::violate;
use crate::raw::plain;
use crate::world::{Fault, Sim, Universe};

const LOCK: &str = "/storage.lock";

/// The processes whose threads work under the lock.
type Inside = Mutex<Vec<Sim>>;

/// Holds the lock and works under it.
fn work(world: &Sim, inside: &Inside) -> Result<()> {
    let lock = LockFile::among(world.clone(), LOCK, Access::ReadWrite);
    let hold = lock.acquire(Mode::Exclusive, &Wait::forever())?;
    enter(world, inside);
    let worked = world.step().and_then(|()| world.step());
    leave(world, inside);
    drop(hold);
    worked
}

fn enter(world: &Sim, inside: &Inside) {
    let mut inside = plain(inside);
    if !world.is_dead() && inside.iter().any(|other| !other.is_dead()) {
        violate("two hold the lock exclusively");
    }
    inside.push(world.clone());
}

fn leave(world: &Sim, inside: &Inside) {
    let mut inside = plain(inside);
    if let Some(place) = inside.iter().position(|other| other.number() == world.number()) {
        inside.remove(place);
    }
}

/// Replaces the lock file while holding it.
fn reset(world: &Sim, inside: &Inside) -> Result<()> {
    let lock = LockFile::among(world.clone(), LOCK, Access::ReadWrite);
    let hold = lock.acquire(Mode::Exclusive, &Wait::forever())?;
    enter(world, inside);
    // From here on who comes excludes only those who come later.
    leave(world, inside);
    world.universe.state().unlink(Path::new(LOCK));
    let worked = world.step().and_then(|()| world.step());
    drop(hold);
    worked
}

/// Two processes of two threads that work under the lock, one of which replaces it first, and a third that replaces it too.
pub(crate) fn replaced(fault: Fault) {
    let universe = Universe::new();
    universe.process().make_directories(Path::new("/home")).expect("alive");
    let inside = Arc::new(Inside::default());
    let ours: [Sim; 2] = processes(&universe, fault, 30);
    let mut threads = Vec::new();
    for (number, world) in ours.iter().enumerate() {
        for _ in 0..2 {
            let (process, inside) = (world.clone(), Arc::clone(&inside));
            threads.push(thread(world, "work", move || work(&process, &inside).and_then(|()| work(&process, &inside))));
        }
        if number == 0 {
            let (process, inside) = (world.clone(), Arc::clone(&inside));
            threads.push(thread(world, "reset", move || reset(&process, &inside)));
        }
    }
    let other = universe.process().with(fault);
    let (process, ghost) = (other.clone(), Arc::clone(&inside));
    threads.push(thread(&other, "reset", move || reset(&process, &ghost)));
    join(threads);
}

/// Two processes of two threads that take two locks in opposite orders: what the types of the levels refuse.
pub(crate) fn opposite_orders(fault: Fault) {
    let universe = Universe::new();
    let ours: [Sim; 2] = [universe.process().with(fault), universe.process().with(fault)];
    let mut threads = Vec::new();
    for (world, order) in ours.iter().zip([["/one.lock", "/two.lock"], ["/two.lock", "/one.lock"]]) {
        for _ in 0..2 {
            let process = world.clone();
            threads.push(thread(world, "two locks", move || {
                let lock = |path| LockFile::among(process.clone(), path, Access::ReadWrite);
                let first = lock(order[0]).acquire(Mode::Exclusive, &Wait::forever())?;
                let second = lock(order[1]).acquire(Mode::Exclusive, &Wait::forever())?;
                drop((first, second));
                Ok(())
            }));
        }
    }
    join(threads);
}
