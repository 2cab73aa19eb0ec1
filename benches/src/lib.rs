//! The workloads that benches measure: one method for each thing that a user of the store does.
//!
//! A [`Ground`] is a store on one driver with a key and something to work on. Every workload leaves the store as it found
//! it or says in its name what it adds, so that a measurement can be repeated.

mod pairs;

pub use pairs::Pairs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use integration::archive;
use integration::scratch::{RunDir, Scratch};
use storage_core::driver::{MountOptions, Registry, Roots};
use storage_core::locks::ThreadKey;
use storage_core::store::{DiffOptions, Durability, NewLayer, Release, Store, StoreOptions};
use storage_core::{LayerId, Task};

// Nobody names the drivers, and a crate that nobody names isn't linked.
use storage_driver_btrfs as _;
use storage_driver_overlay as _;
use storage_driver_vfs as _;
use storage_driver_zfs as _;

/// How much there is to work on.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Files in the layer that is imported.
    pub files: usize,
    /// Bytes in each.
    pub bytes: usize,
    /// Layers in the store before the workload.
    pub layers: usize,
}

/// Small enough to be run a hundred times.
pub const SMALL: Size = Size { files: 200, bytes: 5000, layers: 20 };

/// An open store with a base layer and something to import.
#[derive(Debug)]
pub struct Ground {
    /// The store.
    pub store: Store,
    /// This thread's permission to wait.
    pub key: ThreadKey,
    /// How the store was opened.
    pub options: StoreOptions,
    /// The archive that was imported as the base layer.
    pub archive: Vec<u8>,
    base: String,
    next: u64,
}

impl Ground {
    /// Makes a store below `dir` on a driver and imports a base layer.
    pub fn new(dir: &Path, driver: &str, durability: Durability, size: Size) -> Self {
        let mut key = ThreadKey::take().expect("the thread's key");
        let options = StoreOptions {
            graph_root: dir.join("root"),
            run_root: dir.join("run"),
            driver: Some(driver.to_owned()),
            durability,
            ..StoreOptions::default()
        };
        let store = Store::open(&options, &registry(), &mut key).expect("open a store");
        let file = archive::small(dir, "layer", size.files, size.bytes);
        let archive = fs::read(file).expect("read an archive");
        let mut ground = Ground { store, key, options, archive, base: String::new(), next: 0 };
        for _ in 0..size.layers {
            ground.create(None);
        }
        ground.base = ground.import();
        ground
    }

    fn new_layer(&mut self, parent: Option<&str>) -> NewLayer {
        self.next += 1;
        let id = LayerId::for_new(&format!("{:064x}", self.next)).expect("a good id");
        NewLayer { id: Some(id), parent: parent.map(str::to_owned), ..NewLayer::default() }
    }

    /// The layer that was imported at the beginning.
    pub fn base(&self) -> String {
        self.base.clone()
    }

    /// Adds an empty layer.
    pub fn create(&mut self, parent: Option<&str>) -> String {
        let new = self.new_layer(parent);
        self.store.create_layer(&mut self.key, &new, &Task::new("create")).expect("create").id.clone()
    }

    /// Adds a layer on the base with a few changes in it.
    pub fn changed_child(&mut self) -> String {
        let base = self.base();
        let child = self.create(Some(&base));
        let root = self.mount(&child);
        for number in 0..10 {
            archive::put(&root, &format!("changed/{number}"), vec![1_u8; 2000]);
        }
        let _ = fs::remove_dir_all(root.join("dir3"));
        self.release(&child);
        child
    }

    /// Adds a layer made of the archive.
    pub fn import(&mut self) -> String {
        let new = self.new_layer(None);
        let layer = self.store.import_layer(&mut self.key, &new, &self.archive[..], &Task::new("import"));
        layer.expect("import").0.id.clone()
    }

    /// Applies the archive to a layer that is there.
    pub fn apply(&mut self, layer: &str) {
        self.store.apply_diff(&mut self.key, layer, &self.archive[..], &Task::new("apply")).expect("apply");
    }

    /// Streams the archive of a layer to nowhere and gives its length.
    pub fn diff(&mut self, layer: &str) -> u64 {
        let options = DiffOptions { compression: Some(storage_core::archive::Compression::None) };
        let mut out = Count(0);
        self.store.diff(&mut self.key, layer, None, options, &mut out, &Task::new("diff")).expect("diff");
        out.0
    }

    /// Counts the changes of a layer.
    pub fn changes(&mut self, layer: &str) -> usize {
        let mut count = 0;
        let mut each = |_| {
            count += 1;
            Ok(())
        };
        self.store.changes(&mut self.key, layer, None, &Task::new("changes"), &mut each).expect("changes");
        count
    }

    /// Mounts a layer.
    pub fn mount(&mut self, layer: &str) -> PathBuf {
        self.store.mount(&mut self.key, layer, &MountOptions::default()).expect("mount")
    }

    /// Gives one mount back, if there is one.
    pub fn release(&mut self, layer: &str) {
        self.store.unmount(&mut self.key, layer, Release::IfMounted).expect("release");
    }

    /// Deletes a layer.
    pub fn delete(&mut self, layer: &str) {
        self.store.delete_layer(&mut self.key, layer, &Task::new("delete")).expect("delete");
    }

    /// Reads a record as a user does: by name or id, current at the moment of the call.
    pub fn read(&self, layer: &str) -> usize {
        self.store.lookup(layer).expect("look up").names.len()
    }

    /// Writes a record.
    pub fn write(&mut self, layer: &str, text: &str) {
        self.store.set_metadata(&mut self.key, layer, text).expect("set metadata");
    }

    /// Opens the store anew and reads its records, as a process that just started does.
    pub fn open(&mut self) -> usize {
        let store = Store::open(&self.options, &registry(), &mut self.key).expect("open a store");
        store.layers().expect("read the records").len()
    }
}

struct Count(u64);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The drivers linked into this program.
pub fn registry() -> Registry {
    Registry::linked().expect("drivers with different names")
}

/// The names of the drivers that work below a directory.
pub fn drivers(dir: &Path) -> Vec<&'static str> {
    let survey = registry().survey(&Roots::new(dir.join("root"), dir.join("run")), &[]).expect("survey the drivers");
    survey.iter().filter(|candidate| candidate.survey.usable).map(|candidate| candidate.descriptor.name).collect()
}

/// Whether this run is only to show that everything works.
pub fn quick() -> bool {
    std::env::var_os("LAMINA_BENCH_QUICK").is_some()
}

/// Where and how subjects are run: in stores below the build directory. `LAMINA_BENCH_QUICK` makes the runs short: enough to
/// see that every workload works, not enough to compare figures.
#[expect(missing_debug_implementations, reason = "criterion's own type has none")]
pub struct Bench {
    criterion: Criterion,
    place: RunDir,
    drivers: Vec<&'static str>,
    /// Where btrfs is measured, when the build directory is on another filesystem.
    btrfs: Option<Scratch>,
    quick: bool,
}

impl Bench {
    /// Reads the arguments and finds the drivers that work here. As root, what is mounted is mounted for this process alone,
    /// and btrfs has a disk in a file where the build directory is on another filesystem.
    pub fn begin() -> Self {
        let root = nix::unistd::geteuid().is_root();
        if root {
            integration::scratch::private_mounts();
        }
        let place = RunDir::make();
        let mut drivers = drivers(&place.path);
        let mut btrfs = None;
        if root && !drivers.contains(&"btrfs") {
            let home = place.path.join("btrfs");
            fs::create_dir_all(&home).expect("make a directory");
            match Scratch::mount(&home, Some("btrfs")) {
                Ok(disk) => btrfs = Some(disk),
                Err(skip) => println!("without btrfs: {}", skip.0),
            }
            drivers.extend(btrfs.is_some().then_some("btrfs"));
        }
        println!("drivers: {}", drivers.join(", "));
        Bench { criterion: Criterion::default().configure_from_args(), place, drivers, btrfs, quick: quick() }
    }

    /// Runs one subject for every driver.
    pub fn on_every_driver(
        &mut self,
        subject: &str,
        mut bench: impl FnMut(&mut BenchmarkGroup<WallTime>, &str, &mut Ground),
    ) {
        for driver in &self.drivers {
            let own = self.btrfs.as_ref().filter(|_| *driver == "btrfs").map(Scratch::path);
            let dir = own.unwrap_or(&self.place.path).join(subject).join(driver);
            fs::create_dir_all(&dir).expect("make a directory");
            let mut ground = Ground::new(&dir, driver, Durability::default(), SMALL);
            let mut group = self.criterion.benchmark_group(subject);
            group.sample_size(10);
            if self.quick {
                group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(100));
            }
            bench(&mut group, driver, &mut ground);
            group.finish();
        }
    }

    /// Prints what criterion has to say at the end.
    pub fn end(self) {
        self.criterion.final_summary();
    }
}

/// Measures `work` alone: `before` and `after` are around it and don't count.
pub fn only<T>(
    rounds: u64,
    ground: &mut Ground,
    mut before: impl FnMut(&mut Ground) -> T,
    mut work: impl FnMut(&mut Ground, &T),
    mut after: impl FnMut(&mut Ground, T),
) -> Duration {
    let mut all = Duration::ZERO;
    for _ in 0..rounds {
        let thing = before(ground);
        let start = Instant::now();
        work(ground, &thing);
        all += start.elapsed();
        after(ground, thing);
    }
    all
}
