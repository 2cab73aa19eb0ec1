//! Lamina and Debian's `containers-storage`, in turns on one disk.
//!
//! Each operation is a process of the one, then of the other, and again, on a loop-mounted xfs (btrfs for its driver);
//! medians and their ratio are printed beside what GNU tar, mount(2) and fdatasync cost by themselves. The durability `none` of ours is what the peer
//! does (it flushes no layer data); our default stands beside it. It fails when the peer is missing.
//!
//! ```text
//! compare [--rounds N] [--driver NAME] [--check]     --check: fail when a limit is missed
//! ```

mod measure;
mod snapshots;
mod table;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use integration::scratch::{RunDir, Scratch, filesystem_of, private_mounts};
use integration::store::{Store, id};
use integration::{archive, machine};

use measure::{Sample, Samples};

/// The layer of the comparison: 100 MB in 10,000 files.
const FILES: usize = 10_000;
const BYTES: usize = 10_000;

/// Entries whose cost in memory is allowed to grow with the archive.
const MEMORY_LIMIT_KIB: u64 = (64 << 20) / 1024;
const MEMORY_PER_ENTRY: u64 = 64;

/// Short operations are repeated within a round.
const REPEATS: usize = 10;

struct Options {
    rounds: usize,
    driver: &'static str,
    check: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "--measure") {
        return measure::helper(&args[1..]);
    }
    match options(&args).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => {
            eprintln!("compare: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { rounds: 7, driver: "overlay", check: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--check" => options.check = true,
            "--rounds" => {
                let rounds = args.next().and_then(|number| number.parse().ok());
                options.rounds = rounds.ok_or("--rounds wants a number")?;
            }
            "--driver" => match args.next().map(String::as_str) {
                Some("overlay") => options.driver = "overlay",
                Some("vfs") => options.driver = "vfs",
                Some("btrfs") => options.driver = "btrfs",
                _ => return Err("--driver wants overlay, btrfs or vfs".to_owned()),
            },
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

/// The three that take turns.
struct Contestants {
    none: Store,
    default: Store,
    peer: Store,
}

impl Contestants {
    fn each(&self) -> [&Store; 3] {
        [&self.none, &self.peer, &self.default]
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let missing = |skip: integration::Skip| skip.0;
    machine::peer().map_err(missing)?;
    if machine::lamina().is_none() || machine::stand_in() {
        return Err("build the command first: cargo build --release -p store-cli".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("root is missing: the comparison mounts a disk of its own".to_owned());
    }
    private_mounts();
    let place = RunDir::make();
    let disk = Scratch::mount(&place.path, (options.driver == "btrfs").then_some("btrfs")).map_err(missing)?;
    let archive = archive::small(disk.path(), "layer", FILES, BYTES);
    let entries = integration::tree::read(&disk.join("layer.tree")).len() as u64;

    let store = |name: &str| Store::new(&disk, name, options.driver);
    let contestants = Contestants {
        none: store("none").with(&["--durability", "none"]),
        default: store("default"),
        peer: store("peer").peer().map_err(missing)?,
    };
    let mut samples = Samples::default();
    for round in 0..=options.rounds {
        // The first round warms the caches and isn't counted.
        let mut unused = Samples::default();
        let into = if round == 0 { &mut unused } else { &mut samples };
        for (who, store) in ["none", "peer", "default"].into_iter().zip(contestants.each()) {
            small_operations(store, who, round, into);
        }
        for (who, store) in ["none", "peer", "default"].into_iter().zip(contestants.each()) {
            large_operations(store, who, round, &archive, &disk, into);
        }
        bare(&disk, &archive, into);
    }
    let room = MEMORY_LIMIT_KIB + entries * MEMORY_PER_ENTRY / 1024;
    let snapshots = snapshots::measure(&disk.join("in-process"), options.driver);
    println!(
        "{}, {} rounds, {} on a loop device, {entries} entries of {} MB",
        options.driver,
        options.rounds,
        filesystem_of(disk.path()),
        FILES * BYTES / 1_000_000
    );
    let good = table::print(&samples, &snapshots, room);
    disk.unmount();
    Ok(good || !options.check)
}

fn small_operations(store: &Store, who: &str, round: usize, into: &mut Samples) {
    let base = id(format!("small base {round}"));
    store.create(&base, None);
    for turn in 0..REPEATS {
        let layer = id(format!("small {round} {turn}"));
        let mut timed = |operation: &str, args: &[&str]| into.add(operation, who, measure::run(store, args));
        timed("create", &["create-layer", "-i", &layer, &base]);
        timed("exists", &["exists", &layer]);
        timed("mount", &["mount", &layer]);
        timed("release", &["unmount", &layer]);
        timed("delete", &["delete-layer", &layer]);
    }
    store.delete(&base);
}

fn large_operations(store: &Store, who: &str, round: usize, archive: &Path, disk: &Scratch, into: &mut Samples) {
    let layer = id(format!("large {round}"));
    let file = archive.to_str().expect("a printable path");
    flush(disk);
    into.add("import", who, measure::run(store, &["import-layer", "-i", &layer, "-f", file]));
    flush(disk);
    into.add("diff", who, measure::run(store, &["diff", "-u", "-f", "/dev/null", &layer]));
    into.add("delete of it", who, measure::run(store, &["delete-layer", &layer]));
}

/// What the same work costs without a store: unpacking, a mount and its end, a flush of a kilobyte.
fn bare(disk: &Scratch, archive: &Path, into: &mut Samples) {
    let tree = disk.join("bare");
    flush(disk);
    let start = Instant::now();
    archive::unpack(archive, &tree);
    into.add("import", "bare", Sample::of(start.elapsed()));
    fs::remove_dir_all(&tree).expect("remove what tar unpacked");

    let dirs: Vec<PathBuf> =
        ["lower", "upper", "work", "merged"].iter().map(|name| disk.make(Path::new("bare").join(name))).collect();
    let data = format!("lowerdir={},upperdir={},workdir={}", dirs[0].display(), dirs[1].display(), dirs[2].display());
    for _ in 0..REPEATS {
        let start = Instant::now();
        nix::mount::mount(
            Some("overlay"),
            &dirs[3],
            Some("overlay"),
            nix::mount::MsFlags::empty(),
            Some(data.as_str()),
        )
        .expect("mount an overlay");
        into.add("mount", "bare", Sample::of(start.elapsed()));
        let start = Instant::now();
        nix::mount::umount2(&dirs[3], nix::mount::MntFlags::MNT_DETACH).expect("end the mount of an overlay");
        into.add("release", "bare", Sample::of(start.elapsed()));
        let start = Instant::now();
        let file = File::create(disk.join("bare/flushed")).expect("make a file");
        std::io::Write::write_all(&mut &file, &[1; 1024]).expect("write");
        file.sync_data().expect("flush");
        into.add("create", "bare", Sample::of(start.elapsed()));
    }
    fs::remove_dir_all(&tree).expect("remove the bare directories");
}

fn flush(disk: &Scratch) {
    let dir = File::open(disk.path()).expect("open the disk");
    nix::unistd::syncfs(&dir).expect("flush the disk");
}
