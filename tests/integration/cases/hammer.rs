//! Many at once mount one layer and give it back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants};
use storage_core::Kind;
use storage_core::driver::{MountOptions, Registry};
use storage_core::locks::ThreadKey;
use storage_core::store::{Release, StoreOptions};
// Nobody names the drivers, and a crate that nobody names isn't linked.
use storage_driver_btrfs as _;
use storage_driver_overlay as _;
use storage_driver_vfs as _;

pub(crate) const CASES: &[Case] = &[
    case("hammer::sixteen_processes_one_layer::overlay", 240, |s| sixteen(s, "overlay")),
    case("hammer::sixteen_processes_one_layer::vfs", 240, |s| sixteen(s, "vfs")),
    case("hammer::sixteen_processes_one_layer::btrfs", 240, |s| sixteen(s, "btrfs")),
    case("hammer::threads_and_processes::overlay", 240, |s| threads(s, "overlay")),
    case("hammer::threads_and_processes::vfs", 240, |s| threads(s, "vfs")),
    case("hammer::threads_and_processes::btrfs", 240, |s| threads(s, "btrfs")),
    case("hammer::sixteen_processes_of_two_kinds::overlay", 240, |s| mixed(s, "overlay")),
];

const CYCLES: usize = 1000;

/// Eight threads of one process, each with a key of its own on one open store, and eight processes.
fn threads(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let layer = id("layer");
    store.import(&layer, None, &archive::small(scratch.path(), "small", 3, 100));
    let mut key = ThreadKey::take().expect("the thread's key");
    let options = StoreOptions {
        graph_root: store.root.clone(),
        run_root: store.run.clone(),
        driver: Some(driver.to_owned()),
        ..StoreOptions::default()
    };
    let registry = Registry::linked().expect("drivers with different names");
    let opened = storage_core::store::Store::open(&options, &registry, &mut key).expect("open the store");
    let (by_threads, by_processes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let in_process = || {
        let mut key = ThreadKey::take().expect("a thread has a key of its own");
        while by_threads.fetch_add(1, Ordering::Relaxed) < CYCLES {
            opened.mount(&mut key, &layer, &MountOptions::default()).expect("mount");
            match opened.unmount(&mut key, &layer, Release::IfMounted) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), Kind::LayerNotMounted, "the only error there is: {error}"),
            }
        }
    };
    let by_command = || cycle(&store, &layer, &by_processes, CYCLES / 4);
    thread::scope(|scope| {
        let mut workers: Vec<_> = (0..8).map(|_| scope.spawn(in_process)).collect();
        workers.extend((0..8).map(|_| scope.spawn(by_command)));
        for worker in workers {
            worker.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    assert_eq!(opened.mounted(&layer).expect("ask for the count"), 0, "the count ends at zero");
    assert_eq!(store.counts(), [], "the count ends at zero on disk");
    invariants::assert_clean(&store, "after all gave back what they took");
    Ok(())
}

fn sixteen(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    hammer(scratch, &[store], CYCLES);
    Ok(())
}

/// Half of the processes are the reference's.
fn mixed(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let peer = store.peer()?;
    hammer(scratch, &[store, peer], CYCLES / 4);
    Ok(())
}

fn hammer(scratch: &Scratch, stores: &[Store], cycles: usize) {
    let store = &stores[0];
    let layer = id("layer");
    store.import(&layer, None, &archive::small(scratch.path(), "small", 3, 100));
    let next = AtomicUsize::new(0);
    let (layer, next) = (layer.as_str(), &next);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|number| scope.spawn(move || cycle(&stores[number % stores.len()], layer, next, cycles)))
            .collect();
        for worker in workers {
            worker.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    assert_eq!(store.counts(), [], "the count ends at zero");
    assert_eq!(store.ok(&["mounted", layer]), "", "nothing says it is mounted");
    invariants::assert_clean(store, "after all gave back what they took");
    store.delete(layer);
}

/// Mounts and gives back, until all have done so often enough together.
fn cycle(store: &Store, layer: &str, next: &AtomicUsize, cycles: usize) {
    while next.fetch_add(1, Ordering::Relaxed) < cycles {
        store.mount(layer);
        // Another may have given back more than it took: for a conditional unmount that is the one error there is.
        let unmount = store.run(&["unmount", layer]);
        let fine = unmount.output.status.success() || unmount.stderr().contains("not mounted");
        assert!(fine, "the only error is \"not mounted\": {}", unmount.describe());
    }
}
