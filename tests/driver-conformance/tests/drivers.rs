//! The suite against each driver of this tree that this machine has a filesystem for: linked in, and then as a shared object,
//! which must come out the same, case by case. In CI a run that can't be tried counts as failed, but for zfs without a pool.
//!
//! `cargo test -p driver-conformance --test drivers -- [DRIVER[:FILESYSTEM]] [CASE]` runs a part.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use driver_conformance::grounds::{Filesystem, Grounds};
use driver_conformance::suite::{Done, Outcome, Report, Suite, Workers, work};
use integration::machine;
use integration::plugins::{self, Profile};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use storage_core::driver::plugin::Plugins;
use storage_core::driver::{Descriptor, Registry};
use storage_core::{Error, Kind, Result};
use {storage_driver_btrfs as _, storage_driver_overlay as _, storage_driver_vfs as _, storage_driver_zfs as _};

/// A driver, what its stores are on, and what it declares there: a capability that is gone takes its cases with it, which then
/// are skipped for a reason that is a good one elsewhere.
struct Run {
    driver: &'static str,
    filesystem: Filesystem,
    declares: &'static str,
}

const fn on(filesystem: Filesystem, driver: &'static str, declares: &'static str) -> Run {
    Run { driver, filesystem, declares }
}

const RUNS: &[Run] = &[
    on(
        Filesystem::Ext4,
        "overlay",
        "kernel-mounts proportional-diff detached-views d-type metacopy volatile id-mapped-mounts late-parents",
    ),
    on(
        Filesystem::Xfs,
        "overlay",
        "kernel-mounts proportional-diff detached-views d-type reflink metacopy volatile id-mapped-mounts late-parents",
    ),
    on(Filesystem::Ext4, "vfs", "detached-views d-type"),
    on(Filesystem::Btrfs, "btrfs", "proportional-diff detached-views d-type reflink quota"),
    on(Filesystem::Zfs, "zfs", "kernel-mounts proportional-diff detached-views d-type quota"),
    // In a user namespace, where nothing but a directory can be had.
    on(Filesystem::Plain, "overlay", "kernel-mounts proportional-diff detached-views d-type volatile late-parents"),
    on(Filesystem::Plain, "vfs", "detached-views d-type"),
    on(Filesystem::Plain, "btrfs", "detached-views d-type reflink"),
];

impl Run {
    fn is_as_user(&self) -> bool {
        self.filesystem == Filesystem::Plain
    }

    /// What its stores are on, also where the run is in a user namespace.
    fn ground(&self) -> Filesystem {
        if self.is_as_user() { Filesystem::for_driver(self.driver) } else { self.filesystem }
    }

    /// `DRIVER:FILESYSTEM`, as it is named on the command line and in what is told.
    fn label(&self) -> String {
        format!("{}:{}", self.driver, if self.is_as_user() { "user-namespace" } else { self.filesystem.name() })
    }

    /// Whether it may be left out because `error` says that this machine has not what it needs.
    fn may_be_left_out(&self, error: &Error) -> bool {
        let without_pool = self.filesystem == Filesystem::Zfs && machine::zfs_pool().is_none();
        error.kind() == Kind::NotSupported && (!machine::forbids_skips() || without_pool)
    }
}

/// The word with which this program starts itself there.
const IN_USER_NAMESPACE: &str = "--in-user-namespace";

/// Cases that a driver may skip though all is there that they need, with the reason behind a hash.
const MAY_SKIP: &[&str] = &[
    "zfs additional:: # it keeps layers in one store only",
    "zfs staging::a_staging_place_that_was_taken_away_is_noticed # it tells no directory of staging",
    "vfs additional::its_layers_are_mounted_for_reading_only # it has no mounts",
    "btrfs additional::its_layers_are_mounted_for_reading_only # it has no mounts",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == "--work") {
        return ended(Form::of(&args[1]).descriptor().and_then(|driver| work(&driver, &args[2..])).map(|()| true));
    }
    if let [word, driver, plugin, filter, parent] = args.as_slice()
        && word == IN_USER_NAMESPACE
    {
        return ended(as_user(driver, Path::new(plugin), filter, Path::new(parent)));
    }
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    ended(private_mounts().and_then(|()| all(&words)))
}

fn ended(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("conformance: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Before the first thread: whatever is mounted from here on ends with this process and its children.
fn private_mounts() -> Result<()> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing))
        .map_err(|errno| Error::os("unshare(CLONE_NEWNS)", "/", errno))
}

fn all(words: &[&str]) -> Result<bool> {
    let (mut good, mut runs) = (true, 0);
    for run in RUNS {
        let label = run.label();
        let named = words.iter().any(|word| RUNS.iter().any(|run| *word == run.driver || *word == run.label()));
        if named && !words.iter().any(|word| *word == run.driver || *word == label) {
            continue;
        }
        let filter = words.iter().find(|word| word.contains("::")).copied().unwrap_or_default();
        let plugin = plugins::of_this_tree(run.driver, Profile::Dev);
        match two_grounds(None, run.ground()) {
            Err(error) if run.may_be_left_out(&error) => say(&format!("{label} ... skipped: {error}")),
            Err(error) => return Err(error),
            Ok(grounds) => {
                runs += 1;
                good &= if run.is_as_user() {
                    in_user_namespace(run.driver, &plugin, filter, &grounds[0])?
                } else {
                    both(run, &plugin, grounds, filter)?
                };
            }
        }
    }
    Ok(good && runs > 0)
}

/// One form of a driver.
#[derive(Clone, Debug)]
enum Form {
    Linked(String),
    Loaded(PathBuf),
}

impl Form {
    /// The form that a word names: the path of a shared object, or the name of a driver.
    fn of(word: &str) -> Self {
        if word.contains('/') { Form::Loaded(word.into()) } else { Form::Linked(word.to_owned()) }
    }

    fn word(&self) -> OsString {
        match self {
            Form::Linked(name) => name.into(),
            Form::Loaded(file) => file.into(),
        }
    }

    fn descriptor(&self) -> Result<Descriptor> {
        match self {
            Form::Linked(name) => Registry::linked()?.get(name),
            Form::Loaded(file) => Plugins::new().load(file),
        }
    }
}

/// One place for each form.
fn two_grounds(parent: Option<&Path>, filesystem: Filesystem) -> Result<[Grounds; 2]> {
    Ok([Grounds::make(parent, filesystem)?, Grounds::make(parent, filesystem)?])
}

/// Runs the suite in a user namespace of its own: on `outside` where the driver needs a filesystem that none can be made of
/// inside, else in memory where that is there. Either is a mount from outside, so that its flags are locked.
fn in_user_namespace(driver: &str, plugin: &Path, filter: &str, outside: &Grounds) -> Result<bool> {
    let memory = Path::new("/dev/shm");
    let parent = match outside.filesystem() {
        Filesystem::Plain if memory.is_dir() => memory,
        _ => outside.path(),
    };
    let exe = std::env::current_exe().map_err(|error| Error::os("readlink", "/proc/self/exe", error))?;
    let mut command = Command::new("unshare");
    command.arg("-Urm").arg(exe).args([IN_USER_NAMESPACE, driver]).arg(plugin).arg(filter).arg(parent);
    Ok(command.status().map_err(|error| Error::os("execve", "unshare", error))?.success())
}

/// The same, from inside.
fn as_user(driver: &str, plugin: &Path, filter: &str, parent: &Path) -> Result<bool> {
    let run = RUNS.iter().find(|run| run.is_as_user() && run.driver == driver);
    let run = run.ok_or_else(|| Error::new(Kind::DriverUnknown, "try driver as a user").detail(driver.to_owned()))?;
    both(run, plugin, two_grounds(Some(parent), run.ground())?, filter)
}

/// Runs the cases on the driver that is linked in and on its shared object.
fn both(run: &Run, plugin: &Path, grounds: [Grounds; 2], filter: &str) -> Result<bool> {
    let ([for_linked, for_loaded], label) = (grounds, run.label());
    let linked =
        one(&Form::Linked(run.driver.to_owned()), for_linked, filter, &mut |done| say(&format!("{label} {done}")))?;
    say(&linked.summary());
    let forbidden = forbidden_skips(&linked);
    for line in &forbidden {
        say(&format!("skipped, and not listed as allowed: {line}"));
    }
    let declares_all = declares_as_expected(run, &linked);
    let loaded = one(&Form::Loaded(plugin.to_owned()), for_loaded, filter, &mut |done| {
        if matches!(done.outcome, Outcome::Failed(_)) {
            say(&format!("{label} as a shared object: {done}"));
        }
    })?;
    let differences = linked.differences(&loaded);
    say(&format!("as a shared object, {}; {} cases otherwise than linked", loaded.summary(), differences.len()));
    for line in &differences {
        say(&format!("{label}, linked / as a shared object: {line}"));
    }
    Ok(linked.is_good() && forbidden.is_empty() && declares_all && loaded.is_good() && differences.is_empty())
}

/// Tells where a driver has declared otherwise than is known of it, and whether that may be: a kernel that lacks something is
/// no fault where CI doesn't say that it has all.
fn declares_as_expected(run: &Run, report: &Report) -> bool {
    let (found, expected) = (report.declared().join(" "), run.declares);
    if found != expected {
        say(&format!("{} declares otherwise than RUNS says:\n  expected {expected}\n  found    {found}", run.label()));
    }
    found == expected || !machine::forbids_skips()
}

fn one(form: &Form, grounds: Grounds, filter: &str, each: &mut dyn FnMut(&Done)) -> Result<Report> {
    let word = form.word();
    let workers = Workers::new(move || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--work").arg(&word);
        command
    });
    let suite = Suite { descriptor: form.descriptor()?, grounds: Arc::new(grounds), workers: Arc::new(workers) };
    suite.run(filter, each)
}

/// What was skipped though its needs are there: as root of this machine all of it can be run.
fn forbidden_skips(report: &Report) -> Vec<String> {
    let may = |case: &str| {
        MAY_SKIP
            .iter()
            .filter_map(|line| line.split(" # ").next()?.split_once(' '))
            .any(|(driver, start)| driver == report.driver && case.starts_with(start))
    };
    let as_root = !storage_core::mount::in_user_namespace();
    let unmet = |reason: &str| {
        reason.starts_with("the driver ")
            || reason.starts_with("the store is not on")
            || (!as_root && reason == "needs root of the machine")
            || (report.filesystem == Filesystem::Plain && reason == "the filesystem is not this run's alone")
    };
    let skipped = report.done.iter().filter_map(|done| match &done.outcome {
        Outcome::Skipped(reason) if !unmet(reason) && !may(&done.name) => Some(format!("{}: {reason}", done.name)),
        _ => None,
    });
    skipped.collect()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
