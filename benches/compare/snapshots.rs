//! Snapshots in one process: what a check costs, and how many lookups a second there are inside one.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use benches::{Ground, Size};
use storage_core::locks::ThreadKey;
use storage_core::store::Durability;

/// Figures of one process, alone and beside a writer that never rests.
#[derive(Debug)]
pub(crate) struct Snapshots {
    /// Microseconds for a check that a snapshot is current: alone, and beside a writer.
    pub(crate) check: [f64; 2],
    /// Lookups a second: alone, and beside a writer.
    pub(crate) lookups: [f64; 2],
    /// What the writer wrote meanwhile, a proof that it was busy.
    pub(crate) writes: u64,
}

const CHECKS: u32 = 200_000;
const LOOKUPS: u32 = 5_000_000;

pub(crate) fn measure(dir: &Path, driver: &str) -> Snapshots {
    std::fs::create_dir_all(dir).expect("make a directory");
    let ground = Ground::new(dir, driver, Durability::None, Size { files: 20, bytes: 100, layers: 200 });
    let base = ground.base();
    let alone = (check(&ground), lookups(&ground, &base));
    let stop = AtomicBool::new(false);
    let (beside, writes) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut key = ThreadKey::take().expect("the thread's key");
            let mut writes = 0;
            while !stop.load(Ordering::Relaxed) {
                writes += 1;
                ground.store.set_metadata(&mut key, &base, &format!("{writes}")).expect("write a record");
            }
            writes
        });
        let beside = (check(&ground), lookups(&ground, &base));
        stop.store(true, Ordering::Relaxed);
        (beside, writer.join().expect("the writer ends"))
    });
    Snapshots { check: [alone.0, beside.0], lookups: [alone.1, beside.1], writes }
}

fn check(ground: &Ground) -> f64 {
    let table = ground.store.layers().expect("read the records");
    let start = Instant::now();
    for _ in 0..CHECKS {
        black_box(ground.store.is_current(black_box(&table)).expect("look at the file"));
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKS)
}

fn lookups(ground: &Ground, layer: &str) -> f64 {
    let table = ground.store.layers().expect("read the records");
    let start = Instant::now();
    for _ in 0..LOOKUPS {
        black_box(table.get(black_box(layer)).is_some());
    }
    f64::from(LOOKUPS) / start.elapsed().as_secs_f64()
}
