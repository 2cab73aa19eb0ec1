//! SIGKILL of processes that mount, diff and unmount one layer, at any time: after it the counts and the kernel agree, or the
//! next operation makes them agree. `kill` tries every call of one process; here several die in the middle of each other. The
//! layer is one that was imported, whose diff is replayed, and one that was written to, whose diff is computed, in turns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::case::{Case, case};
use integration::random::Random;
use integration::store::{Store, finish, id};
use integration::{Outcome, Scratch, archive, invariants, machine};

pub(crate) const CASES: &[Case] = &[
    case("kill_at_random::mounts_diffs_and_unmounts::overlay", 600, |s| rounds(s, "overlay", 500)),
    case("kill_at_random::mounts_diffs_and_unmounts::vfs", 600, |s| rounds(s, "vfs", 100)),
    case("kill_at_random::mounts_diffs_and_unmounts::btrfs", 600, |s| rounds(s, "btrfs", 100)),
];

/// How often when all is asked for: on zfs, which is in an emulated guest, less often.
fn all(driver: &str) -> u64 {
    if driver == "zfs" { 100 } else { 500 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Mount,
    Unmount,
    Diff,
}

/// A process that is at it, and what it was told to write.
struct Running {
    deed: Deed,
    child: Child,
    out: PathBuf,
}

/// A layer, and its diff.
struct Layer {
    id: String,
    content: Vec<u8>,
}

struct Bench {
    store: Store,
    /// One whose diff is replayed and one whose diff is computed, in turns.
    layers: [Layer; 2],
    other: String,
    random: Random,
    /// How long one operation takes when it is left alone.
    usual: Duration,
}

pub(crate) fn rounds(scratch: &Scratch, driver: &'static str, most: u64) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let archive = archive::small(scratch.path(), "small", 6, 700);
    let (layer, child, other) = (id("layer"), id("child"), id("other"));
    store.import(&layer, None, &archive);
    store.import(&other, None, &archive);
    store.create(&child, Some(&layer));
    // The quickest of some: a first one that something else held up would have every process end before it is killed.
    let usual = (0..5).map(|_| {
        let started = Instant::now();
        store.mount(&layer);
        let took = started.elapsed();
        store.unmount(&layer);
        took
    });
    let usual = usual.min().expect("some mounts");
    let root = store.mount(&child);
    archive::put(&root, "new/one", "one");
    archive::put(&root, "dir0/other", vec![7; 100_000]);
    fs::remove_dir_all(root.join("dir1")).expect("remove a directory");
    store.unmount(&child);
    let layers = [layer, child].map(|id| Layer { content: store.diff(&id), id });
    assert!(layers[0].content == fs::read(archive).expect("read an archive"), "an imported layer is replayed");
    let random = Random::of_case("kill_at_random");
    let mut bench = Bench { store, layers, other, random, usual };
    let rounds = if machine::full() { all(driver) } else { most };
    let (mut killed, mut apart) = (0, 0);
    for round in 0..rounds {
        let (dead, disagreed) = bench.round(round, scratch.path());
        killed += dead;
        apart += u64::from(disagreed);
    }
    println!(
        "{driver}: {rounds} rounds, {killed} processes died at work, {apart} times a mount and its count were apart"
    );
    assert!(killed > rounds / 4, "only {killed} processes were killed while they worked");
    let Bench { store, layers, .. } = bench;
    for layer in &layers {
        store.ok(&["unmount", "--force", &layer.id]);
    }
    store.ok(&["gc"]);
    invariants::assert_clean(&store, "after all rounds");
    Ok(())
}

impl Bench {
    /// Starts some, kills them at any time, and asks what is left. Returns how many died at work, and whether counts and
    /// kernel had to be made to agree.
    fn round(&mut self, round: u64, scratch: &Path) -> (u64, bool) {
        let which = usize::from(round % 2 == 1);
        let before = self.counted(which);
        let number = 1 + self.random.below(3);
        let running: Vec<Running> =
            (0..number).map(|number| self.start(which, &scratch.join(format!("out {number}")))).collect();
        // A process works with its layer in the second half of its time.
        sleep(self.usual * u32::try_from(30 + self.random.below(80)).expect("a small number") / 100);
        let ends: Vec<_> = running.into_iter().map(|one| self.end(which, one)).collect();
        let done = |deed| ends.iter().map(|end| i64::from(*end == (deed, true))).sum::<i64>();
        let tried = |deed| ends.iter().map(|end| i64::from(end.0 == deed)).sum::<i64>();
        // An unmount at nought changes nothing, so that its place in the order matters.
        let least = (before + done(Deed::Mount) - tried(Deed::Unmount)).max(0);
        let most = (before - done(Deed::Unmount)).max(0) + tried(Deed::Mount);
        let dead = ends.iter().map(|end| u64::from(!end.1)).sum();

        let held = invariants::held_after_a_kill(&self.store);
        assert!(held.is_empty(), "{}: held by the dead: {held:?}", self.random.seed());
        let apart = !invariants::count_errors(&self.store).is_empty();
        self.next(round, which);
        let wrong = invariants::count_errors(&self.store);
        assert!(wrong.is_empty(), "{}, round {round}, {ends:?}: {wrong:?}", self.random.seed());
        let after = self.counted(which);
        assert!(
            (least..=most).contains(&after),
            "{}, round {round}: {ends:?} made {after} of {before}",
            self.random.seed()
        );
        (dead, apart)
    }

    fn start(&mut self, which: usize, out: &Path) -> Running {
        // More unmounts than mounts, so that the first mount and the last unmount come often.
        let deed = match self.random.below(10) {
            0..3 => Deed::Mount,
            3..7 => Deed::Unmount,
            _ => Deed::Diff,
        };
        let layer = &self.layers[which].id;
        let mut command = self.store.command();
        match deed {
            Deed::Mount => command.args(["mount", layer]),
            Deed::Unmount => command.args(["unmount", layer]),
            Deed::Diff => command.args(["diff", "-u", "-f"]).arg(out).arg(layer),
        };
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start a command");
        Running { deed, child, out: out.to_path_buf() }
    }

    /// Kills it, unless it has ended. Whether it did what it was told.
    fn end(&self, which: usize, mut one: Running) -> (Deed, bool) {
        let _ = one.child.kill();
        let (status, errors) = finish(one.child);
        assert!(status.success() || errors.is_empty(), "{:?} was not killed and failed: {errors}", one.deed);
        if one.deed == Deed::Diff && status.success() {
            let whole = fs::read(&one.out).expect("read a diff") == self.layers[which].content;
            assert!(whole, "a diff that says it went well is whole");
        }
        (one.deed, status.success())
    }

    /// The next operation: of the same layer, of another, or one that mounts nothing.
    fn next(&self, round: u64, which: usize) {
        match round % 3 {
            0 => {
                self.store.mount(&self.layers[which].id);
                self.store.unmount(&self.layers[which].id);
            }
            1 => {
                self.store.mount(&self.other);
                self.store.unmount(&self.other);
            }
            _ => {
                let fresh = id(format!("fresh {round}"));
                self.store.create(&fresh, None);
                self.store.delete(&fresh);
            }
        }
    }

    fn counted(&self, which: usize) -> i64 {
        let layer = &self.layers[which].id;
        self.store.counts().into_iter().filter(|(id, _, _)| id == layer).map(|(_, _, count)| count).sum()
    }
}
