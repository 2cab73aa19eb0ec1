//! The suite against each driver of this tree that this machine has a filesystem for: linked in, and then as a shared object,
//! which must come out the same, case by case.
//!
//! `cargo test -p driver-conformance --test drivers -- [DRIVER[:FILESYSTEM]] [CASE]` runs a part.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use driver_conformance::grounds::{Filesystem, Grounds};
use driver_conformance::suite::{Done, Outcome, Report, Suite, Workers, work};
use integration::plugins::{self, Profile};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use storage_core::driver::plugin::Plugins;
use storage_core::driver::{Descriptor, Registry};
use storage_core::{Error, Kind, Result};
use {storage_driver_btrfs as _, storage_driver_overlay as _, storage_driver_vfs as _, storage_driver_zfs as _};

/// The drivers, and what their stores are on.
const RUNS: &[(&str, Filesystem)] = &[
    ("overlay", Filesystem::Ext4),
    ("overlay", Filesystem::Xfs),
    ("vfs", Filesystem::Ext4),
    ("btrfs", Filesystem::Btrfs),
    ("zfs", Filesystem::Zfs),
    // In a user namespace, where nothing but a directory can be had.
    ("overlay", Filesystem::Plain),
    ("vfs", Filesystem::Plain),
    ("btrfs", Filesystem::Plain),
];

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
    for (driver, filesystem) in RUNS {
        let label = format!("{driver}:{filesystem}");
        let named =
            words.iter().any(|word| RUNS.iter().any(|(name, on)| *word == *name || *word == format!("{name}:{on}")));
        if named && !words.iter().any(|word| *word == *driver || *word == label) {
            continue;
        }
        let filter = words.iter().find(|word| word.contains("::")).copied().unwrap_or_default();
        let plugin = plugins::of_this_tree(driver, Profile::Dev);
        let as_user = *filesystem == Filesystem::Plain;
        let filesystem = if as_user { Filesystem::for_driver(driver) } else { *filesystem };
        match two_grounds(None, filesystem) {
            Err(error) if error.kind() == Kind::NotSupported => say(&format!("{label} ... skipped: {error}")),
            Err(error) => return Err(error),
            Ok(grounds) => {
                runs += 1;
                good &= if as_user {
                    in_user_namespace(driver, &plugin, filter, &grounds[0])?
                } else {
                    both(&label, driver, &plugin, grounds, filter)?
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
    let grounds = two_grounds(Some(parent), Filesystem::for_driver(driver))?;
    both(&format!("{driver}:user-namespace"), driver, plugin, grounds, filter)
}

/// Runs the cases on the driver that is linked in and on its shared object.
fn both(label: &str, driver: &str, plugin: &Path, grounds: [Grounds; 2], filter: &str) -> Result<bool> {
    let [for_linked, for_loaded] = grounds;
    let linked =
        one(&Form::Linked(driver.to_owned()), for_linked, filter, &mut |done| say(&format!("{label} {done}")))?;
    say(&linked.summary());
    let forbidden = forbidden_skips(&linked);
    for line in &forbidden {
        say(&format!("skipped, and not listed as allowed: {line}"));
    }
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
    Ok(linked.is_good() && forbidden.is_empty() && loaded.is_good() && differences.is_empty())
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
