//! Staging and trash: what is being made or viewed is never taken away, what is nobody's goes (R8).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_core::fs::{Files, Opening, Protocol, TempDirs};
use storage_core::lockfile::Mode;
use storage_core::{Kind, Result, Task};

use super::{join, processes, thread};
use crate::explore::violate;
use crate::world::{Fault, Sim, Universe};

pub(super) const PLACES: &str = "/home/tempdirs";

pub(super) fn places(world: &Sim) -> TempDirs<Sim> {
    TempDirs::among(world.clone(), PLACES)
}

pub(super) fn sweep(world: &Sim) -> Result<()> {
    places(world).sweep(Instant::now() + Duration::from_hours(1), &Task::new("sweep")).map(drop)
}

pub(super) fn layer_path(id: &str) -> PathBuf {
    Path::new("/home").join(id)
}

/// A layer's directory with a file in it.
pub(super) fn fill(world: &Sim, content: &Path) -> Result<()> {
    world.make_directory(content)?;
    world.make_directory(&content.join("data"))
}

/// Nothing is left in the places once nobody lives.
pub(super) fn check_swept(universe: &Arc<Universe>) {
    let world = universe.process();
    sweep(&world).expect("nobody is left");
    let left = world.names(Path::new(PLACES)).expect("alive");
    if !left.is_empty() {
        violate(format!("nobody reclaims {left:?}"));
    }
}

/// Makes a layer in staging and puts it in place.
fn stage(world: &Sim, id: &str) -> Result<()> {
    let place = places(world).create()?;
    fill(world, &place.path().join("content"))?;
    place.move_out("content", &layer_path(id))?;
    let state = world.universe.state();
    if !world.is_dead() && state.at(&layer_path(id).join("data")).is_none() {
        violate(format!("{id} was committed without its content"));
    }
    drop(state);
    place.close()
}

/// Sweeps as peers do: without a look at whether the lock is still the one at its path.
fn sweep_as_a_peer(world: &Sim) -> Result<()> {
    for name in world.names(Path::new(PLACES))? {
        let Some(suffix) = name.strip_prefix("lock-").or(name.strip_prefix("temp-dir-")) else { continue };
        let path = Path::new(PLACES).join(format!("lock-{suffix}"));
        let lock = world.open(&path, Opening::Lock)?;
        if world.try_lock(&lock, &path, Protocol::Record, Mode::Exclusive)? {
            world.remove_tree(&Path::new(PLACES).join(format!("temp-dir-{suffix}")), &Task::new("sweep"))?;
            match world.remove_file(&path) {
                Err(error) if error.kind() == Kind::NotFound => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

/// Two processes of two threads that make layers in staging, two of two that sweep, and a peer that sweeps.
pub(crate) fn staging(fault: Fault) {
    let universe = Universe::new();
    universe.process().make_directories(Path::new(PLACES)).expect("alive");
    let ours: [Sim; 3] = processes(&universe, fault, 40);
    let mut threads = Vec::new();
    for (world, ids) in ours.iter().zip([["a", "b"], ["c", "d"]]) {
        for id in ids {
            let process = world.clone();
            threads.push(thread(world, "staging", move || stage(&process, id)));
        }
    }
    for _ in 0..2 {
        let process = ours[2].clone();
        threads.push(thread(&ours[2], "a sweep", move || sweep(&process).and_then(|()| sweep(&process))));
    }
    let peer = universe.process();
    let process = peer.clone();
    threads.push(thread(&peer, "a peer's sweep", move || sweep_as_a_peer(&process)));
    join(threads);
    check_swept(&universe);
}

/// Two processes of two threads that throw layers away, look at them, and sweep.
pub(crate) fn trash(fault: Fault) {
    let universe = Universe::new();
    let setup = universe.process();
    setup.make_directories(Path::new(PLACES)).expect("alive");
    for id in ["a", "b"] {
        fill(&setup, &layer_path(id)).expect("alive");
    }
    let ours: [Sim; 2] = processes(&universe, fault, 40);
    let mut threads = Vec::new();
    for (world, id) in ours.iter().zip(["a", "b"]) {
        let view = world.view(&layer_path(id));
        let process = world.clone();
        threads.push(thread(world, "a view", move || {
            let view = view?;
            for _ in 0..3 {
                if view.names()?.is_empty() && !process.is_dead() {
                    violate(format!("the content of {id} went while it was viewed"));
                }
            }
            drop(view);
            sweep(&process)
        }));
        let process = world.clone();
        threads.push(thread(world, "trash", move || {
            let trashed = places(&process).trash(&layer_path(id))?;
            if trashed.is_none() && !process.is_dead() {
                violate(format!("{id} was not there to be thrown away"));
            }
            trashed.map_or(Ok(()), |trashed| trashed.reclaim(&Task::new("reclaim")))
        }));
        let process = world.clone();
        threads.push(thread(world, "a sweep", move || sweep(&process)));
    }
    join(threads);
    check_swept(&universe);
}
