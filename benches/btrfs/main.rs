//! What only btrfs does: changes by the kernel's stream beside a walk, and thirty-two creations of containers at once beside
//! bare snapshots, in staging directories and in one directory for all. The sides of a comparison run in turns, on a btrfs of
//! their own.
//!
//! ```text
//! btrfs [ROUNDS]
//! ```

mod creators;

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use integration::scratch::{RunDir, Scratch, private_mounts};
use storage_core::driver::{Driver, LayerRef, OwnerMaps, Plan, Request, ScratchLocks, Start};
use storage_core::ids::LayerId;
use storage_core::locks::ThreadKey;
use storage_core::task::Task;
use storage_driver_btrfs::{Btrfs, Ways};

const FILES: usize = 100_000;
const CHANGES: usize = 10;

fn main() -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("btrfs: root is missing: the figures need a disk of their own");
        return ExitCode::from(2);
    }
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    private_mounts();
    let place = RunDir::make();
    let disk = match Scratch::mount(&place.path, Some("btrfs")) {
        Ok(disk) => disk,
        Err(skip) => {
            eprintln!("btrfs: {}", skip.0);
            return ExitCode::from(2);
        }
    };
    let [stream, walk, live] = changes(disk.path(), rounds).map(|time| time.as_secs_f64() * 1e3);
    println!(
        "{CHANGES} changes in {FILES} files: stream {stream:.1} ms; walk of two snapshots {walk:.1} ms, {:.1} times; walk of \
         the layers themselves {live:.1} ms, {:.1} times",
        walk / stream,
        live / stream
    );
    creators::compare(disk.path(), rounds);
    disk.unmount();
    ExitCode::SUCCESS
}

/// By the stream, by a walk of two snapshots (of whose files the kernel knows nothing yet), and by one of the layers (which
/// the kernel has in its caches, and which are not one moment).
fn changes(disk: &Path, rounds: usize) -> [Duration; 3] {
    let request = Request::of_home(disk.join("figures/btrfs"), disk.join("figures/run"));
    let locks = ScratchLocks::in_directory(disk);
    let mut key = ThreadKey::take().expect("the thread's key");
    let best = Ways::of_process();
    let driver = Btrfs::open_with(&request, best).expect("open the driver");
    let id = |name: &str| LayerId::for_new(name).expect("an id");
    let mut grow = |layer: &LayerRef, fill: &dyn Fn(&Path)| {
        let plan = Plan::new(Start::OnParent(layer.parent_ref()));
        let mut staged = locks.shared(&mut key, |held| driver.begin(held, &plan)).expect("lock").expect("begin");
        staged.fill(&Task::new("fill")).expect("fill");
        locks.exclusive(&mut key, |held| staged.commit(held, &layer.id)).expect("lock").expect("commit");
        fill(&driver.mount_point(&layer.id, layer.home).expect("a mount point"));
    };
    let (base, child) = (LayerRef::own(id("base"), []), LayerRef::own(id("child"), [id("base")]));
    let file = |root: &Path, number: usize| root.join(format!("d{:03}/f{number:06}", number % 100));
    grow(&base, &|root| {
        (0..100).for_each(|number| fs::create_dir(root.join(format!("d{number:03}"))).expect("mkdir"));
        (0..FILES).for_each(|number| fs::write(file(root, number), "some bytes").expect("write"));
        nix::unistd::syncfs(File::open(root).expect("open")).expect("syncfs");
    });
    grow(&child, &|root| {
        (0..CHANGES).for_each(|number| fs::write(file(root, number * 7919), "other bytes").expect("write"));
    });
    let mut fastest = [Duration::MAX; 3];
    for round in 0..rounds * 3 {
        let way = round % 3;
        let ways = Ways { send: way == 0, snapshots: way < 2, ..best };
        let driver = Btrfs::open_with(&request, ways).expect("open the driver");
        let start = Instant::now();
        let maps = OwnerMaps::default();
        let compared = locks.shared(&mut key, |held| driver.compare(held, &child, Some(&base), &maps));
        let mut count = 0;
        let each = &mut |_| {
            count += 1;
            Ok(())
        };
        compared.expect("lock").expect("compare").changes(&Task::new("changes"), each).expect("changes");
        fastest[way] = fastest[way].min(start.elapsed());
        // Each file, and the directories that they are in.
        assert!((CHANGES + 1..=CHANGES * 2).contains(&count), "{count} changes");
    }
    fastest
}
