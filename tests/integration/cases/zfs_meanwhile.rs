//! Diffs of layers of zfs while others mount, write and unmount them.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants, machine};
use storage_core::driver::{MountOptions, Registry};
use storage_core::locks::ThreadKey;
use storage_core::store::{DiffOptions, Release, Store as Opened, StoreOptions};
use storage_core::task::Task;
// Nobody names the driver, and a crate that nobody names isn't linked.
use storage_driver_zfs as _;

pub(crate) const CASES: &[Case] = &[
    case("zfs::a_diff_while_others_mount_and_unmount", 7200, hammered),
    case("zfs::a_diff_while_another_writes", 900, written),
];

/// What the workers share.
struct Hammered {
    store: Store,
    /// An imported layer, whose diff is its archive, and one that is compared with it.
    base: String,
    layer: String,
    content: Vec<u8>,
    rounds: usize,
    begun: AtomicUsize,
    running: AtomicUsize,
    diffs: AtomicUsize,
}

/// Two with stores of their own open, and a process for each step, mount and unmount two layers, until that was done so
/// often; as long as they do, one reads archives and one compares. Every step works, and at the end nothing is counted or
/// mounted.
fn hammered(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "zfs");
    let archive = archive::small(scratch.path(), "small", 12, 900);
    let (base, layer) = (id("base"), id("layer"));
    store.import(&base, None, &archive);
    store.create(&layer, Some(&base));
    fs::write(store.mount(&layer).join("new"), "new").expect("write in a mounted layer");
    store.unmount(&layer);
    let content = fs::read(&archive).expect("read an archive");
    let rounds = if machine::full() { 1000 } else { 48 };
    let (begun, running, diffs) = (AtomicUsize::new(0), AtomicUsize::new(3), AtomicUsize::new(0));
    let all = Hammered { store, base, layer, content, rounds, begun, running, diffs };
    thread::scope(|scope| {
        let workers = [
            scope.spawn(|| all.mounts(|| all.in_process())),
            scope.spawn(|| all.mounts(|| all.in_process())),
            scope.spawn(|| all.mounts(|| all.by_command())),
            scope.spawn(|| all.reads_archives()),
            scope.spawn(|| all.compares()),
        ];
        for worker in workers {
            worker.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    println!("{rounds} mounts and unmounts, {} diffs meanwhile", all.diffs.load(Ordering::Relaxed));
    assert_eq!(all.store.counts(), [], "the count ends at zero");
    assert_eq!(all.store.ok(&["mounted", &all.base, &all.layer]), "", "nothing says it is mounted");
    invariants::assert_clean(&all.store, "after all gave back what they took");
    assert_eq!(all.store.changes(&all.layer), ["A /new"]);
    Ok(())
}

impl Hammered {
    /// Does the work, and says at its end, however it ends, that it is over.
    fn mounts(&self, work: impl FnOnce()) {
        struct Over<'a>(&'a AtomicUsize);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let _over = Over(&self.running);
        work();
    }

    /// The layer that is mounted next; `None` when it was done often enough.
    fn next(&self) -> Option<(&str, &'static str)> {
        let round = self.begun.fetch_add(1, Ordering::Relaxed);
        let layer = if round.is_multiple_of(2) { (self.base.as_str(), "dir0") } else { (self.layer.as_str(), "new") };
        (round < self.rounds).then_some(layer)
    }

    fn open(&self, key: &mut ThreadKey) -> Opened {
        let options = StoreOptions {
            graph_root: self.store.root.clone(),
            run_root: self.store.run.clone(),
            driver: Some("zfs".to_owned()),
            ..StoreOptions::default()
        };
        let registry = Registry::linked().expect("drivers with different names");
        Opened::open(&options, &registry, key).expect("open the store")
    }

    fn in_process(&self) {
        let mut key = ThreadKey::take().expect("a thread has a key of its own");
        let store = self.open(&mut key);
        while let Some((layer, file)) = self.next() {
            let path = store.mount(&mut key, layer, &MountOptions::default()).expect("mount");
            assert!(path.join(file).exists(), "what was mounted is there");
            assert!(store.mounted(layer).expect("ask for the count") > 0, "who has it mounted is counted");
            store.unmount(&mut key, layer, Release::IfMounted).expect("what was mounted is counted and mounted");
        }
    }

    fn by_command(&self) {
        while let Some((layer, file)) = self.next() {
            assert!(self.store.mount(layer).join(file).exists(), "what was mounted is there");
            self.store.unmount(layer);
        }
    }

    fn reads_archives(&self) {
        let mut key = ThreadKey::take().expect("a thread has a key of its own");
        let store = self.open(&mut key);
        while self.running.load(Ordering::Relaxed) > 0 {
            let mut out = Vec::new();
            let task = Task::new("diff");
            store.diff(&mut key, &self.base, None, DiffOptions::default(), &mut out, &task).expect("diff");
            assert!(out == self.content, "a diff is the archive that was imported");
            self.diffs.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn compares(&self) {
        let mut key = ThreadKey::take().expect("a thread has a key of its own");
        let store = self.open(&mut key);
        while self.running.load(Ordering::Relaxed) > 0 {
            let mut changes = Vec::new();
            let mut each = |change: storage_core::archive::Change| {
                changes.push(change.to_string());
                Ok(())
            };
            store.changes(&mut key, &self.layer, None, &Task::new("changes"), &mut each).expect("changes");
            assert_eq!(changes, ["A /new"]);
            self.diffs.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A diff of a layer, again and again, while another process mounts, writes and unmounts it: both always work.
fn written(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "zfs");
    let archive = archive::small(scratch.path(), "small", 12, 900);
    let (base, layer) = (id("base"), id("layer"));
    store.import(&base, None, &archive);
    store.create(&layer, Some(&base));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..5 {
                let path = store.mount(&layer).join(format!("round{round}"));
                fs::write(path, "written").expect("write in a mounted layer");
                store.unmount(&layer);
            }
        });
        for _ in 0..5 {
            let changes = store.changes(&layer);
            assert!(changes.iter().all(|change| change.starts_with("A /round")), "{changes:?}");
            assert!(store.diff(&layer).len() >= 1024);
        }
        writer.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
    });
    assert_eq!(store.changes(&layer).len(), 5);
    invariants::assert_clean(&store, "after all is done");
    Ok(())
}
