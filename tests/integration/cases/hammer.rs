//! Many at once mount one layer and give it back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants};

pub(crate) const CASES: &[Case] = &[
    case("hammer::sixteen_processes_one_layer::overlay", 240, |s| sixteen(s, "overlay")),
    case("hammer::sixteen_processes_one_layer::vfs", 240, |s| sixteen(s, "vfs")),
    case("hammer::sixteen_processes_of_two_kinds::overlay", 240, |s| mixed(s, "overlay")),
];

const CYCLES: usize = 1000;

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
    let work = |store: &Store| {
        while next.fetch_add(1, Ordering::Relaxed) < cycles {
            store.mount(&layer);
            // Another may have given back more than it took: for a conditional unmount that is the one error there is.
            let unmount = store.run(&["unmount", &layer]);
            let fine = unmount.output.status.success() || unmount.stderr().contains("not mounted");
            assert!(fine, "the only error is \"not mounted\": {}", unmount.describe());
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..16).map(|number| scope.spawn(move || work(&stores[number % stores.len()]))).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
    assert_eq!(store.counts(), [], "the count ends at zero");
    assert_eq!(store.ok(&["mounted", &layer]), "", "nothing says it is mounted");
    invariants::assert_clean(store, "after all gave back what they took");
    store.delete(&layer);
}
