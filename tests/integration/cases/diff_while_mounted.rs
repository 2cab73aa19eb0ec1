//! Diffs of a layer while other processes mount and unmount it: a thousand rounds, no count off by one, no mount left, and no
//! wait for an exclusive lock.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, end, id};
use integration::{Outcome, Scratch, archive, invariants, lock, machine};

pub(crate) const CASES: &[Case] = &[
    case("diff_while_mounted::a_thousand_rounds::btrfs", 600, |s| thousand(s, "btrfs", 1000)),
    case("diff_while_mounted::a_thousand_rounds::overlay", 600, |s| thousand(s, "overlay", 300)),
    case("diff_while_mounted::a_thousand_rounds::vfs", 600, |s| thousand(s, "vfs", 300)),
    case("diff_while_mounted::waits_for_no_writer::btrfs", 60, |s| held_by_readers(s, "btrfs")),
    case("diff_while_mounted::waits_for_no_writer::overlay", 60, |s| held_by_readers(s, "overlay")),
    case("diff_while_mounted::waits_for_no_writer::vfs", 60, |s| held_by_readers(s, "vfs")),
];

/// How many rounds when all is asked for.
const ALL: usize = 1000;
/// After so many rounds the others pause and the counts are looked at.
const BATCH: usize = 100;

/// A layer with an archive, and one with changes that are computed.
fn prepare(scratch: &Scratch, driver: &'static str) -> (Store, String, String) {
    let store = Store::new(scratch, "store", driver);
    let (base, child) = (id("base"), id("child"));
    store.import(&base, None, &archive::small(scratch.path(), "small", 6, 900));
    store.create(&child, Some(&base));
    let root = store.mount(&child);
    (0..5).for_each(|number| archive::put(&root, &format!("more/{number}"), "written"));
    store.unmount(&child);
    (store, base, child)
}

fn thousand(scratch: &Scratch, driver: &'static str, most: usize) -> Outcome {
    let (store, base, child) = prepare(scratch, driver);
    let whole = [store.diff(&base), store.diff(&child)];
    let changes = store.changes(&child);
    let rounds = if machine::full() { ALL } else { most };
    let mut cycles = 0;
    for batch in 0..rounds / BATCH {
        // In every other batch the layers are mounted by somebody who keeps it so.
        let kept = i64::try_from(batch % 2).expect("nought or one");
        for layer in [&base, &child].into_iter().filter(|_| kept == 1) {
            store.mount(layer);
        }
        cycles += batch_of(&store, &base, &child, &whole, &changes);
        for layer in [&base, &child] {
            let counts = store.counts();
            let counted: i64 = counts.iter().filter(|(id, _, _)| id == layer).map(|(_, _, count)| count).sum();
            assert_eq!(counted, kept, "after {BATCH} diffs and {cycles} mounts: {counts:?}");
            if kept == 1 {
                store.unmount(layer);
            }
        }
        invariants::assert_clean(&store, "between two batches");
    }
    println!("{driver}: {rounds} rounds of a diff, {cycles} mounts and unmounts by others");
    assert!(cycles > rounds / 10, "only {cycles} mounts while {rounds} diffs ran");
    Ok(())
}

/// Diffs in two threads while others mount and unmount, all of them processes. Returns how often these did.
fn batch_of(store: &Store, base: &str, child: &str, whole: &[Vec<u8>; 2], changes: &[String]) -> usize {
    let (next, cycles, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let diffs = || {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                BATCH.. => break,
                round if round % 3 == 0 => assert!(store.diff(base) == whole[0], "the archive, byte for byte"),
                round if round % 3 == 1 => assert!(store.diff(child) == whole[1], "the same diff as ever"),
                _ => assert_eq!(store.changes(child), changes, "the same changes as ever"),
            }
        }
    };
    let mounts = |layer: &str| {
        while !over.load(Ordering::Relaxed) {
            store.mount(layer);
            store.unmount(layer);
            cycles.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let others = [base, child].map(|layer| scope.spawn(move || mounts(layer)));
        let diffs = [scope.spawn(diffs), scope.spawn(diffs)];
        let done: Vec<_> = diffs.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        let others = others.into_iter().map(thread::ScopedJoinHandle::join);
        for ended in done.into_iter().chain(others) {
            ended.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    cycles.into_inner()
}

/// Somebody holds the layers for reading, for ever, and the counts for writing: whoever wanted the one exclusively, or the
/// other at all, would never end.
fn held_by_readers(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, base, child) = prepare(scratch, driver);
    let kept = store.mount(&child);
    let layers = lock::try_read(&store.layers_dir().join("layers.lock")).expect("nobody writes");
    let counts = lock::try_write(&store.run_layers_dir().join("mountpoints.lock")).expect("nobody counts");
    for verb in [
        vec!["diff", "-u", &base],
        vec!["diff", "-u", &child],
        vec!["changes", &child],
        vec!["diffsize", &child],
        vec!["layer", &child],
        vec!["mounted", &child],
    ] {
        within(&store, &verb, "20");
    }
    // That this would find a wait: a mount has to have both locks for itself.
    let mut command = Command::new("timeout");
    command.arg("1").args(store.argv(&["mount", &base])).stdout(Stdio::null()).stderr(Stdio::null());
    assert_eq!(command.status().expect("run timeout").code(), Some(124), "a mount went past a reader");
    drop((layers, counts));
    assert!(kept.is_dir());
    store.unmount(&child);
    invariants::assert_clean(&store, "after the holds");
    Ok(())
}

/// Expects that a command ends well in so many seconds.
#[track_caller]
pub(crate) fn within(store: &Store, args: &[&str], seconds: &str) {
    let mut command = Command::new("timeout");
    command.arg(seconds).args(store.argv(args)).stdin(Stdio::null());
    let ended = end(command);
    assert!(ended.output.status.success(), "it waited, or failed: {}", ended.describe());
}
