//! Records: no update is lost, no reader is stale, nothing goes backwards, nothing unsaved is seen (R4, R10).

use std::path::Path;
use std::sync::{Arc, Mutex};

use storage_core::Result;
use storage_core::lockfile::Wait;
use storage_core::locks::changes::{LayerRecords, Parts, settle_incomplete};
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, StoreId, WriteGuard};

use super::{join, key, level, processes, thread};
use crate::explore::violate;
use crate::peers::{Peer, WriteOrder};
use crate::raw::plain;
use crate::tables::Lines;
use crate::world::{Fault, Sim, Universe};

const FILE: &str = "/layers.json";

/// What everybody outside the world knows.
#[derive(Debug, Default)]
struct Known {
    /// How many records there are at least: as many as a released writer left, or a reader saw.
    floor: usize,
    /// The records that were written by who lived to say so.
    written: Vec<String>,
}

type Ghost = Arc<Mutex<Known>>;
type Level = Arc<Guarded<Layers, Lines, Sim>>;

/// A world with a first record.
fn universe() -> Arc<Universe> {
    let universe = Universe::new();
    drop(universe.process().replace_file(Path::new(FILE), b"first").expect("alive"));
    universe
}

fn open(world: &Sim) -> Level {
    Arc::new(level(world, StoreId::fresh(), "layers.json"))
}

fn note(ghost: &Ghost, written: Option<&str>, length: usize) {
    let mut known = plain(ghost);
    known.floor = known.floor.max(length);
    known.written.extend(written.map(str::to_owned));
}

/// Adds a record.
fn write(world: &Sim, level: &Level, ghost: &Ghost, line: &str) -> Result<()> {
    let length = {
        let mut key = key();
        let (mut guard, _key) = level.write(&mut key, &Wait::forever())?;
        let table = guard.table().and(line);
        let length = table.0.len();
        guard.save(table, &[0])?;
        length
    };
    if !world.is_dead() {
        note(ghost, Some(line), length);
    }
    Ok(())
}

/// Looks without a lock.
fn look(world: &Sim, level: &Level, ghost: &Ghost) -> Result<()> {
    let floor = plain(ghost).floor;
    let table = level.snapshot()?;
    if world.is_dead() {
        return Ok(());
    }
    if table.0.len() < floor {
        violate(format!("a snapshot has {} records, but {floor} had been seen or released before", table.0.len()));
    }
    check_saved(world, &table);
    note(ghost, None, table.0.len());
    Ok(())
}

/// What is seen was the file's content once.
fn check_saved(world: &Sim, table: &Lines) {
    let state = world.universe.state();
    let was_there = |versions: &Vec<Vec<u8>>| versions.contains(&table.bytes());
    if !table.0.is_empty() && !state.history.get(Path::new(FILE)).is_some_and(was_there) {
        violate(format!("{table:?} is seen, but was never saved"));
    }
}

fn peer_thread(
    world: &Sim,
    order: WriteOrder,
    ghost: &Ghost,
    lines: &'static [&'static str],
) -> shuttle::thread::JoinHandle<()> {
    let (process, ghost) = (world.clone(), Arc::clone(ghost));
    thread(world, "a peer", move || {
        let mut peer = Peer::new(process.clone(), Path::new(FILE), order);
        for line in lines {
            peer.look()?;
            let table = peer.update(&[&|table: &Lines| table.and(line)])?;
            if !process.is_dead() {
                note(&ghost, Some(line), table.0.len());
            }
        }
        peer.look().map(drop)
    })
}

/// Nobody's record is lost.
fn check_written(universe: &Arc<Universe>, ghost: &Ghost) {
    let world = universe.process();
    let mut key = key();
    let level = open(&world);
    let (guard, _key) = level.read(&mut key, &Wait::forever()).expect("nobody is left");
    for line in &plain(ghost).written {
        if !guard.table().knows(line) {
            violate(format!("the update {line} is lost"));
        }
    }
}

/// Two processes of two writers, and peers that write in both orders and judge by the last-writer record.
pub(crate) fn writers(fault: Fault) {
    let universe = universe();
    let ghost = Ghost::default();
    let ours: [Sim; 2] = processes(&universe, fault, 60);
    let mut threads = Vec::new();
    for (world, lines) in ours.iter().zip([["a", "b"], ["c", "d"]]) {
        let level = open(world);
        for line in lines {
            let (process, level, ghost) = (world.clone(), Arc::clone(&level), Arc::clone(&ghost));
            threads.push(thread(world, "a writer", move || write(&process, &level, &ghost, line)));
        }
    }
    threads.push(peer_thread(&universe.process(), WriteOrder::RecordsFirst, &ghost, &["p"]));
    threads.push(peer_thread(&universe.process(), WriteOrder::LastWriterFirst, &ghost, &["q"]));
    let reading = universe.process();
    let mut peer = Peer::new(reading.clone(), Path::new(FILE), WriteOrder::LastWriterFirst);
    threads.push(thread(&reading, "a reading peer", move || (0..4).try_for_each(|_| peer.look().map(drop))));
    join(threads);
    check_written(&universe, &ghost);
}

/// Two processes of a writer and a reader without a lock, beside writers of both orders.
pub(crate) fn snapshots(fault: Fault) {
    let universe = universe();
    let ghost = Ghost::default();
    let ours: [Sim; 2] = processes(&universe, fault, 60);
    let mut threads = Vec::new();
    for (world, line) in ours.iter().zip(["a", "b"]) {
        let level = open(world);
        let (process, ours, known) = (world.clone(), Arc::clone(&level), Arc::clone(&ghost));
        threads.push(thread(world, "a writer", move || write(&process, &ours, &known, line)));
        let (process, known) = (world.clone(), Arc::clone(&ghost));
        threads.push(thread(world, "a reader", move || (0..4).try_for_each(|_| look(&process, &level, &known))));
    }
    threads.push(peer_thread(&universe.process(), WriteOrder::RecordsFirst, &ghost, &["p", "q"]));
    threads.push(peer_thread(&universe.process(), WriteOrder::LastWriterFirst, &ghost, &["r"]));
    join(threads);
    check_written(&universe, &ghost);
}

/// A process of a writer and a reader, one of two readers, and a peer of the other order: few enough that an inode number
/// often comes back while the last-writer record is still the same.
pub(crate) fn numbers(fault: Fault) {
    let universe = universe();
    let ghost = Ghost::default();
    let ours: [Sim; 2] = [universe.process().with(fault), universe.process().with(fault)];
    let level = open(&ours[0]);
    let mut threads = Vec::new();
    let (process, writing, known) = (ours[0].clone(), Arc::clone(&level), Arc::clone(&ghost));
    threads.push(thread(&ours[0], "a writer", move || write(&process, &writing, &known, "a")));
    let other = open(&ours[1]);
    for (world, level) in [(&ours[0], level), (&ours[1], Arc::clone(&other)), (&ours[1], other)] {
        let (process, known) = (world.clone(), Arc::clone(&ghost));
        threads.push(thread(world, "a reader", move || (0..3).try_for_each(|_| look(&process, &level, &known))));
    }
    threads.push(peer_thread(&universe.process(), WriteOrder::RecordsFirst, &ghost, &["p"]));
    join(threads);
    check_written(&universe, &ghost);
}

/// Nothing but records.
struct NoParts;

impl Parts<Lines, Sim> for NoParts {
    fn discard(&mut self, held: &mut WriteGuard<'_, Layers, Lines, Sim>, _id: &str) -> Result<()> {
        held.world().step()
    }

    fn flush_names(&mut self, _held: &WriteGuard<'_, Layers, Lines, Sim>) -> Result<()> {
        Ok(())
    }
}

/// Reads under a shared hold; where something is incomplete, tries again with an exclusive one, puts it right and adds a
/// record on the way, and reads what came of it.
fn read_or_repair(world: &Sim, level: &Level, ghost: &Ghost, line: &str) -> Result<()> {
    let mut key = key();
    let needs_repair = {
        let (guard, _key) = level.read(&mut key, &Wait::forever())?;
        guard.table().needs_repair()
    };
    world.retrying(true);
    let length = {
        let (mut guard, _key) = level.write(&mut key, &Wait::forever())?;
        if needs_repair {
            settle_incomplete(&mut guard, &mut NoParts)?;
        }
        let table = guard.table().and(line);
        guard.save(table, &[0])?;
        guard.table().0.len()
    };
    world.retrying(false);
    if !world.is_dead() {
        note(ghost, Some(line), length);
    }
    let (guard, _key) = level.read(&mut key, &Wait::forever())?;
    if !world.is_dead() && !guard.table().knows(line) {
        violate(format!("{line} was written, and is not there when read again"));
    }
    Ok(())
}

/// Two processes of two threads that read, retry with the exclusive lock to repair, and read again; a peer leaves incomplete
/// records behind when it dies.
pub(crate) fn retry(fault: Fault) {
    let universe = universe();
    let ghost = Ghost::default();
    let ours: [Sim; 3] = processes(&universe, fault, 50);
    let mut threads = Vec::new();
    for (world, lines) in ours.iter().zip([["a", "b"], ["c", "d"]]) {
        let level = open(world);
        for line in lines {
            let (process, level, ghost) = (world.clone(), Arc::clone(&level), Arc::clone(&ghost));
            threads.push(thread(world, "a repairing reader", move || read_or_repair(&process, &level, &ghost, line)));
        }
    }
    let process = ours[2].clone().with(Fault::None);
    let known = Arc::clone(&ghost);
    threads.push(thread(&ours[2], "a peer", move || {
        let mut peer = Peer::new(process.clone(), Path::new(FILE), WriteOrder::RecordsFirst);
        peer.update(&[&|table: &Lines| table.and("p!"), &|table: &Lines| {
            Lines(table.0.iter().filter(|line| *line != "p!").cloned().collect()).and("p")
        }])?;
        if !process.is_dead() {
            note(&known, Some("p"), 0);
        }
        Ok(())
    }));
    join(threads);
    check_written(&universe, &ghost);
}
