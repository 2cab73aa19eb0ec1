//! A live store, watched from outside: nothing is attached to, locked or changed.
//!
//! What the rules can be judged on from there: counts against the mount tables of all visible processes, the order in which
//! records and records of the write change, what is locked and for how long, and what dead processes left. Whether a driver
//! kept R1, R2, R5, R7 and R9 inside a call can't be seen.

mod locked;
mod records;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage_core::Result;
use storage_core::mount::{elsewhere, mounts_here};
use storage_core::record::{Mounted, Truth, peek};

use self::locked::Locked;
use self::records::{GRACE, Records};
use super::judge::{Ledger, counts_of, layer_mounts, millis};
use super::merge::short;
use super::order::places;
use super::report::Report;
use super::rule::Rule;

/// What is watched, and for how long.
#[derive(Clone, Debug)]
pub struct OutsideOptions {
    /// The graph root.
    pub graph: PathBuf,
    /// The run root.
    pub run: PathBuf,
    /// The driver of the store.
    pub driver: String,
    /// Whether its mounts are the kernel's.
    pub mounts: Mounts,
    /// For how long.
    pub time: Duration,
}

/// What a driver's mounts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounts {
    /// The kernel's: counts can be compared with mount tables.
    Kernel,
    /// None: a layer's directory serves.
    Directories,
    /// Only the driver knows, and it isn't asked.
    Unknown,
}

/// How long the watch pauses between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// More than the counts of any store take.
const MOST_COUNTS: u64 = 64 << 20;

/// Watches a store.
pub fn watch(options: &OutsideOptions) -> Result<Report> {
    let mut ledger = Ledger::default();
    let looks = over_time(options, &mut ledger);
    counts(options, &mut ledger)?;
    leftovers(options, &mut ledger);
    let mut report = Report::new(&options.driver, "live store");
    report.events = looks;
    for (rule, why) in [
        (Rule::R1, "what a reader changes is not told from what a writer changes beside it"),
        (Rule::R2, "which process attached a mount, and what it held, is not to be seen afterwards"),
        (
            Rule::R3,
            "what a process read before it acted is not to be seen; counts that differ from mounts are told under R8",
        ),
        (Rule::R6, "what is done under a lock is not to be seen; how long it was held is told, and no limit is known"),
    ] {
        report.beyond.push(format!("{}: {why}; `lamina audit` judges it on a throw-away store", rule.name()));
    }
    Ok(report.watched(&ledger))
}

/// Looks again and again at lock files and records; a little longer than it is told, where a writer is between the two.
/// Returns how often.
fn over_time(options: &OutsideOptions, ledger: &mut Ledger) -> usize {
    let watched = places(&options.graph, &options.run, &options.driver);
    let started = Instant::now();
    let (mut locked, mut records) = (Locked::of(&watched.files), Records::of(&watched.files));
    let mut looks = 0;
    while looks < 2
        || started.elapsed() < options.time
        || (records.is_open() && started.elapsed() < options.time + GRACE)
    {
        locked.look();
        records.look(|lock| locked.is_held(lock), ledger);
        looks += 1;
        std::thread::sleep(PAUSE);
    }
    records.tell(ledger);
    ledger.checked("records", Rule::R4).at_most("looks", looks as u64, || looks.to_string());
    locked.tell(ledger);
    looks
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Counts against mount tables. What differs is looked at twice: somebody may be between the two.
fn counts(options: &OutsideOptions, ledger: &mut Ledger) -> Result<()> {
    let entry = ledger.entry("mount counts", Rule::R3);
    let untold = match options.mounts {
        Mounts::Kernel => None,
        Mounts::Directories => Some("looks, which tell nothing: the driver has no mounts"),
        Mounts::Unknown => Some("looks, which tell nothing: only the driver knows whether it has mounts"),
    };
    if let Some(untold) = untold {
        entry.saw(untold);
        return Ok(());
    }
    let first = differing(options)?;
    std::thread::sleep(PAUSE * 20);
    let second = differing(options)?;
    entry.saw("looks at counts and the mount tables of all processes");
    entry.at_most("counted layers", second.counted, || second.counted.to_string());
    entry.at_most("processes that can't be asked", second.unreadable, || second.unreadable.to_string());
    for what in second.wrong.iter().filter(|what| first.wrong.contains(what)) {
        ledger.broken("mount counts", Rule::R8, "unknown process", what.clone());
    }
    if second.wrong.is_empty() {
        ledger.checked("mount counts", Rule::R8).saw("looks at counts without a mount and mounts without a count");
    }
    Ok(())
}

struct Differing {
    counted: u64,
    unreadable: u64,
    wrong: Vec<String>,
}

fn differing(options: &OutsideOptions) -> Result<Differing> {
    let places = places(&options.graph, &options.run, &options.driver);
    let homes = [options.graph.join(&options.driver), options.run.join(&options.driver)];
    let mounts =
        mounts_here()?.into_iter().filter(|mount| homes.iter().any(|home| mount.mount_point.starts_with(home)));
    let mounts = mounts.map(|mount| Mounted {
        id: mount.id,
        point: mount.mount_point.display().to_string(),
        kind: mount.filesystem,
    });
    let truth = Truth { mounts: mounts.collect(), counts: peek::text(&places.counts, MOST_COUNTS), ..Truth::default() };
    let counts = counts_of(&truth);
    let paths: Vec<PathBuf> = counts.iter().map(|one| PathBuf::from(&one.path)).collect();
    let (holders, unreadable) = elsewhere::look_for_all(&paths);
    let mut wrong = Vec::new();
    for (one, holders) in counts.iter().zip(&holders) {
        if holders.is_empty() && unreadable == 0 {
            wrong.push(format!("layer {} is counted {} times and mounted nowhere", short(&one.id), one.count));
        }
    }
    wrong.extend(uncounted(&truth, &homes, &paths));
    Ok(Differing { counted: counts.len() as u64, unreadable: unreadable as u64, wrong })
}

/// Mounts that nobody counts. What lies in a layer that is counted, or that is told here, is its user's.
fn uncounted(truth: &Truth, homes: &[PathBuf], counted: &[PathBuf]) -> Vec<String> {
    let points: Vec<&Path> = layer_mounts(truth, homes).iter().map(|mount| Path::new(mount.point.as_str())).collect();
    let inside = |point: &Path, of: &Path| point != of && point.starts_with(of);
    let is_layers = |point: &&&Path| {
        let mut tops = points.iter().copied().chain(counted.iter().map(PathBuf::as_path));
        !counted.iter().any(|path| path == *point) && !tops.any(|of| inside(point, of))
    };
    points.iter().filter(is_layers).map(|point| format!("mounted and not counted: {}", point.display())).collect()
}

/// What dead processes left, which the next writer puts right: that is no breach, and it is told.
fn leftovers(options: &OutsideOptions, ledger: &mut Ledger) {
    let layers = format!("{}-layers", options.driver);
    let entry = ledger.checked("intents", Rule::R8);
    entry.saw("looks for intents");
    let locked = locked::is_locked(&options.graph.join(&layers).join("layers.lock"));
    for path in [options.graph.join(&layers).join("lamina-intent"), options.run.join(&layers).join("lamina-mounting")] {
        if path.exists() && !locked {
            entry.saw("intents of dead processes, which the next writer ends");
        }
    }
    let entry = ledger.checked("staging and trash", Rule::R8);
    entry.saw("looks for places");
    let homes = [options.graph.join(&options.driver).join("tempdirs"), options.graph.join(&layers).join("tmp")];
    for lock in homes.iter().flat_map(fs::read_dir).flatten().flatten() {
        if lock.file_name().to_string_lossy().starts_with("lock-") {
            let used = locked::is_locked(&lock.path());
            entry.saw(if used { "places in use" } else { "places of dead processes, which the next writer reclaims" });
        }
    }
}

/// A length of time in words.
fn long(time: Duration) -> String {
    millis(time.as_nanos() as u64)
}

#[cfg(test)]
mod tests;
