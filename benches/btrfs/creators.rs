//! Thirty-two that make something of one source at once.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use benches::{Ground, Size, registry};
use storage_core::locks::ThreadKey;
use storage_core::store::{Durability, NewContainer, NewImage, Store, StoreOptions};
use storage_core::sys::btrfs::{Writing, create_subvolume, destroy_by_name, snapshot};
use storage_core::task::Task;

const CREATORS: usize = 32;
const EACH: usize = 8;
/// Files in the source.
const FILES: usize = 200;

/// What they make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Containers, as the store ships: a staging directory for each layer, the driver's and the store's locks, and records.
    Containers,
    /// Bare snapshots in a staging directory each, moved to one place: the part of the driver.
    Staged,
    /// Bare snapshots in one directory for all: what the driver doesn't do, because the kernel makes them one by one.
    Shared,
}

const WAYS: [Way; 3] = [Way::Containers, Way::Staged, Way::Shared];

/// Measures all in turns and prints the median of each.
pub(crate) fn compare(disk: &Path, rounds: usize) {
    let options = make_store(&disk.join("containers"));
    let place = disk.join("snapshots");
    make_source(&place);
    let mut rates = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (way, rates) in WAYS.into_iter().zip(&mut rates) {
            rates.push(match way {
                Way::Containers => containers(&options),
                Way::Staged | Way::Shared => snapshots(&place, way),
            });
        }
    }
    let [containers, staged, shared] = rates.map(median);
    println!("{CREATORS} creators, {EACH} each, of a source of {FILES} files; medians of {rounds} rounds:");
    println!("  containers, as the store makes them:        {containers:.0}/s");
    println!("  bare snapshots, a staging directory each:   {staged:.0}/s");
    println!("  bare snapshots, one directory for all:      {shared:.0}/s");
    println!(
        "  staging directories to one: {:.1} times; containers to bare snapshots in one: {:.1} times",
        staged / shared,
        containers / shared
    );
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Runs `work` in every creator at once, after each has made ready what `ready` gives it. How many things came in a second.
fn at_once<T>(ready: impl Fn(usize) -> T + Sync, work: impl Fn(usize, &mut T) + Sync) -> f64 {
    let begin = Barrier::new(CREATORS + 1);
    let start = thread::scope(|scope| {
        for number in 0..CREATORS {
            let (begin, ready, work) = (&begin, &ready, &work);
            scope.spawn(move || {
                let mut own = ready(number);
                begin.wait();
                (0..EACH).for_each(|nth| work(number * EACH + nth, &mut own));
            });
        }
        begin.wait();
        Instant::now()
    });
    (CREATORS * EACH) as f64 / start.elapsed().as_secs_f64()
}

/// A store with an image of one layer.
fn make_store(place: &Path) -> StoreOptions {
    fs::create_dir_all(place).expect("mkdir");
    let size = Size { files: FILES, bytes: 10, layers: 0 };
    let mut ground = Ground::new(place, "btrfs", Durability::default(), size);
    let image = NewImage { names: vec!["source".to_owned()], layer: Some(ground.base()), ..NewImage::default() };
    ground.store.create_image(&mut ground.key, &image).expect("create an image");
    ground.options
}

/// Every creator has opened the store for itself, as if it were a process.
fn containers(options: &StoreOptions) -> f64 {
    let open = || {
        let mut key = ThreadKey::take().expect("the thread's key");
        (Store::open(options, &registry(), &mut key).expect("open a store"), key)
    };
    let new = NewContainer { image: Some("source".to_owned()), ..NewContainer::default() };
    let rate = at_once(
        |_| open(),
        |_, (store, key)| drop(store.create_container(key, &new, &Task::new("create")).expect("create a container")),
    );
    let (store, mut key) = open();
    for container in store.sight().expect("read the records").containers.iter() {
        store.delete_container(&mut key, &container.id, &Task::new("delete")).expect("delete a container");
    }
    rate
}

fn make_source(place: &Path) {
    fs::create_dir_all(place.join("all")).expect("mkdir");
    let dir = File::open(place).expect("open");
    create_subvolume(dir.as_fd(), "source".as_ref()).expect("create a subvolume");
    for number in 0..FILES {
        fs::write(place.join(format!("source/{number}")), "some bytes").expect("write");
    }
}

fn snapshots(place: &Path, way: Way) -> f64 {
    let open = |name: &str| File::open(place.join(name)).expect("open");
    let rate = at_once(|_| open("source"), |number, source| take(place, source, number, way));
    let all = open("all");
    for name in fs::read_dir(place.join("all")).expect("list").map(|entry| entry.expect("list").file_name()) {
        destroy_by_name(all.as_fd(), &name).expect("destroy a snapshot");
    }
    rate
}

fn take(place: &Path, source: &File, number: usize, way: Way) {
    let name = OsString::from(number.to_string());
    let target: PathBuf = place.join("all").join(&name);
    if way == Way::Staged {
        let staging = place.join(format!("staging-{number}"));
        fs::create_dir(&staging).expect("mkdir");
        let dir = File::open(&staging).expect("open");
        snapshot(source.as_fd(), dir.as_fd(), &name, Writing::Allowed).expect("snapshot");
        fs::rename(staging.join(&name), target).expect("rename");
        fs::remove_dir(staging).expect("rmdir");
    } else {
        let dir = File::open(place.join("all")).expect("open");
        snapshot(source.as_fd(), dir.as_fd(), &name, Writing::Allowed).expect("snapshot");
    }
}
