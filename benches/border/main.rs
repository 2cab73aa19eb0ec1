//! What the border to plugins costs: the same driver, linked in and loaded, on the same layers, call by call.
//!
//! ```text
//! cargo bench -p benches --bench border
//! ```
//!
//! It first builds the shared objects that it loads, of this program's own drivers and with its optimisation. Both forms are in
//! one process and take turns, in [`Pairs`]; a second copy of the linked form against the first shows what a ratio of one looks
//! like. Both are opened anew now and then: where a driver lies in memory makes a few per cent. `LAMINA_BENCH_QUICK` takes few
//! pairs.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use benches::{Pairs, quick};
use integration::archive;
use integration::plugins::{self, Profile};
use integration::scratch::{RunDir, private_mounts};
use storage_core::driver::plugin::Plugins;
use storage_core::driver::{
    Descriptor, Extent, Gate, Home, LayerRef, MountOptions, Plan, Request, ScratchLocks, Start,
};
use storage_core::locks::ThreadKey;
use storage_core::{LayerId, Task};

/// How often both sides of a comparison are opened.
const OPENINGS: u64 = 8;
/// How many nanoseconds a measurement takes at least: many beside those of reading the clock.
const LONG: f64 = 100_000.0;

fn main() {
    if !nix::unistd::geteuid().is_root() {
        println!("border: left out: root is missing: overlay has to be mounted, and the loader trusts root's files");
        return;
    }
    private_mounts();
    let mut key = ThreadKey::take().expect("the thread's key");
    for linked in [storage_driver_overlay::DESCRIPTOR, storage_driver_vfs::DESCRIPTOR] {
        let file = plugins::of_this_tree(linked.name, Profile::Release);
        let loaded = Plugins::new().load(&file).expect("load the shared object");
        compare(&mut key, &linked, &loaded);
    }
}

fn compare(key: &mut ThreadKey, linked: &Descriptor, loaded: &Descriptor) {
    let place = RunDir::make();
    let dir = place.path.join(linked.name);
    std::fs::create_dir_all(&dir).expect("make a directory");
    let maker = Side::open(linked, &dir);
    let base = layer(&maker, key, "a", None);
    let child = layer(&maker, key, "b", Some(base));
    for call in Call::ALL {
        let mut rounds = 1;
        while maker.measure(key, &child, call, rounds) < LONG {
            rounds *= 2;
        }
        let pairs = if quick() { OPENINGS * 5 } else { 4000 };
        for (what, other) in [("loaded / linked", loaded), ("linked / linked", linked)] {
            let mut told = Pairs::default();
            for opening in 0..OPENINGS {
                // Who is opened first has the better place.
                let sides = if opening.is_multiple_of(2) {
                    [other, linked].map(|form| Side::open(form, &dir))
                } else {
                    let mut sides = [linked, other].map(|form| Side::open(form, &dir));
                    sides.reverse();
                    sides
                };
                told.add(pairs.div_ceil(OPENINGS), rounds, |side, rounds| {
                    sides[side].measure(key, &child, call, rounds)
                });
            }
            told.print(&format!("{}, {}, {what}", linked.name, call.name()));
        }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
enum Call {
    Exists,
    View,
    Mount,
}

impl Call {
    const ALL: [Call; 3] = [Call::Exists, Call::View, Call::Mount];

    fn name(self) -> &'static str {
        match self {
            Call::Exists => "exists",
            Call::View => "view",
            Call::Mount => "mount and unmount",
        }
    }
}

/// One form of a driver, open.
struct Side {
    gate: Gate,
    locks: ScratchLocks,
}

impl Side {
    fn open(descriptor: &Descriptor, dir: &Path) -> Self {
        let request = Request::of_home(dir.join("home"), dir.join("run"));
        let locks = ScratchLocks::in_directory(dir);
        Side { gate: locks.gate((descriptor.open)(&request).expect("open")), locks }
    }

    /// The nanoseconds of so many calls, without those of the lock around them.
    fn measure(&self, key: &mut ThreadKey, layer: &LayerRef, call: Call, rounds: u64) -> f64 {
        match call {
            Call::Exists | Call::View => self.locks.shared(key, |held| {
                let access = self.gate.shared(held).expect("the gate");
                nanoseconds(rounds, || match call {
                    Call::View => drop(access.view(layer).expect("view")),
                    _ => assert!(access.exists(&layer.id, Home::Own).expect("exists")),
                })
            }),
            Call::Mount => self.locks.mounting(key, |held| {
                let mut access = self.gate.mounting(held).expect("the gate");
                nanoseconds(rounds, || {
                    access.mount(layer, &MountOptions::default()).expect("mount");
                    drop(access.unmount(&layer.id, Home::Own, Extent::One).expect("unmount"));
                })
            }),
        }
        .expect("lock")
    }
}

fn nanoseconds(rounds: u64, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        work();
    }
    start.elapsed().as_nanos() as f64
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
    let path = std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd()));
    archive::put(&path.expect("the path of the root"), letter, "content");
    let committed = side.locks.exclusive(key, |held| {
        side.gate.exclusive(held).expect("the gate").commit(&mut *staged, &id(letter)).expect("commit");
    });
    committed.expect("lock");
    LayerRef::own(id(letter), parent.map(|parent| parent.id))
}
