//! What the border to plugins costs: the same driver, linked in and loaded, on the same home, call by call.
//!
//! `tests/build-plugins` makes the shared objects that are loaded, with this program's own drivers and optimisation.

use std::path::PathBuf;

use benches::Bench;
use integration::{archive, machine};
use storage_core::driver::plugin::Plugins;
use storage_core::driver::{
    Descriptor, Extent, Gate, Home, LayerRef, MountOptions, Plan, Request, ScratchLocks, Start,
};
use storage_core::locks::ThreadKey;
use storage_core::{LayerId, Task};

/// The shared object of a driver of this tree.
fn plugin(driver: &str) -> PathBuf {
    machine::target().join("plugins").join(format!("lamina-{driver}.so"))
}

/// A driver with a layer on another.
struct Side {
    gate: Gate,
    locks: ScratchLocks,
}

pub(crate) fn bench(bench: &mut Bench) {
    for linked in [storage_driver_overlay::DESCRIPTOR, storage_driver_vfs::DESCRIPTOR] {
        let file = plugin(linked.name);
        let loaded = match Plugins::new().load(&file) {
            Ok(loaded) => loaded,
            Err(error) => {
                println!("border/{}: left out: {error}; tests/build-plugins makes it", linked.name);
                continue;
            }
        };
        compare(bench, &linked, &loaded);
    }
}

fn compare(bench: &mut Bench, linked: &Descriptor, loaded: &Descriptor) {
    let mut key = ThreadKey::take().expect("the thread's key");
    let dir = bench.directory(&format!("border/{}", linked.name));
    let request = Request::of_home(dir.join("home"), dir.join("run"));
    let side = |descriptor: &Descriptor| {
        let locks = ScratchLocks::in_directory(&dir);
        Side { gate: locks.gate((descriptor.open)(&request).expect("open")), locks }
    };
    let sides = [("linked", side(linked)), ("loaded", side(loaded))];
    let (base, child) = (layer(&sides[0].1, &mut key, "a", None), LayerRef::own(id("b"), [id("a")]));
    layer(&sides[0].1, &mut key, "b", Some(base));
    let mut group = bench.group("border");
    for (form, Side { gate, locks }) in &sides {
        let name = |call: &str| format!("{call}/{}/{form}", linked.name);
        let shared = locks.shared(&mut key, |held| {
            let access = gate.shared(held).expect("the gate");
            group.bench_function(name("exists"), |bencher| {
                bencher.iter(|| assert!(access.exists(&child.id, Home::Own).expect("exists")));
            });
            group.bench_function(name("view"), |bencher| bencher.iter(|| access.view(&child).expect("view")));
        });
        shared.expect("lock");
        let mounting = locks.mounting(&mut key, |held| {
            let mut access = gate.mounting(held).expect("the gate");
            group.bench_function(name("mount"), |bencher| {
                bencher.iter(|| {
                    access.mount(&child, &MountOptions::default()).expect("mount");
                    access.unmount(&child.id, Home::Own, Extent::One).expect("unmount")
                });
            });
            drop(access.retire());
        });
        mounting.expect("lock");
    }
    group.finish();
}

fn id(letter: &str) -> LayerId {
    LayerId::for_new(&letter.repeat(64)).expect("a good id")
}

/// Makes a layer with a file in it.
fn layer(side: &Side, key: &mut ThreadKey, letter: &str, parent: Option<LayerRef>) -> LayerRef {
    let begun = side.locks.shared(key, |held| {
        side.gate.shared(held).expect("the gate").begin(&Plan::new(Start::OnParent(parent.clone()))).expect("begin")
    });
    let mut staged = begun.expect("lock");
    staged.fill(&Task::new("fill")).expect("fill");
    let root = staged.root().expect("root");
    let path = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&root)));
    archive::put(&path.expect("the path of the root"), letter, "content");
    let committed = side.locks.exclusive(key, |held| {
        side.gate.exclusive(held).expect("the gate").commit(&mut *staged, &id(letter)).expect("commit");
    });
    committed.expect("lock");
    LayerRef::own(id(letter), parent.map(|parent| parent.id))
}
