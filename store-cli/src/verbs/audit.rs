//! `audit`: the rules of locking, judged by what a driver does. The work is the library's of `tests/driver-conformance`.

use std::path::Path;
use std::process::Command;

use driver_conformance::audit::{self, Effort, Mounts, OutsideOptions, Report, Subject};
use driver_conformance::grounds::{Filesystem, Grounds};
use storage_core::driver::Registry;
use storage_core::{Error, Kind, Result};

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::globals::{Globals, duration};
use crate::output::complain;
use crate::roots;
use crate::stop::{Outcome, Stop, code, usage};
use crate::userns;

pub(crate) const HELP: &str = "\
Runs every operation of a driver on a throw-away root: alone, in a crowd of processes and threads, and in processes that are
killed; records every lock and every call of the driver; and judges what was recorded by the rules of locking (R1 to R10 of
docs/locking.md), path by path. Root does it in a mount namespace of its own, an ordinary user in a user namespace; btrfs
and zfs get a filesystem in a file, but in a user namespace btrfs needs a directory on one (--root), and zfs is refused.
Without --driver and --plugin every driver is audited that works on a directory here. --store watches the store that is
configured instead: it attaches to nothing, takes no lock and changes nothing, and tells what can be judged from outside.
Exit code 0: no rule was seen to be broken; 40: one was; 1: something that the audit was to do failed, and couldn't be judged.
What --store can't see from outside (R1, R2, R3, R6) is told as not judged, which leaves the exit code as it is.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::list(&["--driver"], "Only this driver"),
    Flag::value(&["--root"], "Make the throw-away root below this directory"),
    Flag::value(&["--rounds"], "How often each of the crowd does everything (default 10)"),
    Flag::value(&["--deaths"], "How many processes are killed (default 56)"),
    Flag::switch(&["--store"], "Watch the configured store from outside instead"),
    Flag::value(&["--for"], "How long --store watches (default 3s)"),
    Flag::switch(&["--table"], "Print who holds what in each operation, as it is recorded"),
    super::JSON,
];

/// The verb that a worker is started with.
pub(crate) const WORKER: &str = "audit-worker";

/// The body of a worker process.
pub(crate) fn worker(context: &mut Context) -> Outcome {
    let registry = registry_with(context, &context.args[0])?;
    Ok(audit::work(&registry, &context.args[1])?)
}

/// The drivers of this program; where `word` is a path, that in this shared object alone.
fn registry_with(context: &Context, word: &str) -> Result<Registry> {
    if !word.starts_with('/') {
        return engine::registry(&context.globals);
    }
    let mut registry = Registry::default();
    registry.add(engine::plugins(&context.globals).load(Path::new(word))?)?;
    Ok(registry)
}

pub(crate) fn audit(context: &mut Context) -> Outcome {
    if context.flags.on("--store") {
        let report = watch(context)?;
        return tell(context, &[report]);
    }
    let word = match (context.globals.plugins.as_slice(), context.flags.list("--driver")) {
        ([file], []) => file.display().to_string(),
        ([], _) => String::new(),
        _ => return Err(usage("several drivers are named", "give --driver NAME or one --plugin FILE").into()),
    };
    let registry = registry_with(context, &word)?;
    let drivers = if word.is_empty() { drivers(context, &registry)? } else { registry.names() };
    let program = Program { registry, word };
    // Without it what is mounted can be seen by others while it is there, and others' mounts stir the table.
    if let Err(error) = userns::private_mounts() {
        complain(format_args!("{error}; going on in the mount namespace of the caller"));
    }
    if context.flags.on("--table") {
        for driver in drivers.into_iter().take(1) {
            let table = on_grounds(context, &program, driver, audit::table)?;
            context.out.text(table)?;
        }
        return Ok(());
    }
    let effort = effort(context)?;
    let mut reports = Vec::new();
    for driver in drivers {
        reports.push(on_grounds(context, &program, driver, |subject| audit::audit(subject, effort))?);
    }
    tell(context, &reports)
}

/// The drivers to be audited: those that are named, else those that work on a directory here.
fn drivers(context: &Context, registry: &Registry) -> Result<Vec<&'static str>> {
    let named = context.flags.list("--driver");
    if !named.is_empty() {
        return named.iter().map(|name| registry.get(name).map(|descriptor| descriptor.name)).collect();
    }
    let grounds = grounds(context, Filesystem::Plain)?;
    let survey = registry.survey(&grounds.roots("survey")?, &context.globals.driver_options)?;
    let usable = survey.iter().filter(|each| each.survey.usable).map(|each| each.descriptor.name).collect();
    grounds.remove()?;
    Ok(usable)
}

fn grounds(context: &Context, filesystem: Filesystem) -> Result<Grounds> {
    let parent = context.flags.value("--root").map(roots::absolute).transpose()?;
    Grounds::make(parent.as_deref(), filesystem)
}

/// The drivers, and the word by which a worker finds the same.
struct Program {
    registry: Registry,
    word: String,
}

fn on_grounds<R>(
    context: &Context,
    program: &Program,
    driver: &'static str,
    act: impl FnOnce(&Subject<'_>) -> Result<R>,
) -> Result<R> {
    let grounds = grounds(context, Filesystem::for_driver(driver))?;
    let place = grounds.directory("audit")?;
    let worker = || {
        let mut command = Command::new("/proc/self/exe");
        // A word that is no path means the drivers of this program.
        command.arg(WORKER).arg(if program.word.is_empty() { driver } else { &program.word });
        command
    };
    let options = context.globals.driver_options.clone();
    let done =
        act(&Subject { registry: &program.registry, driver: driver.to_owned(), options, place, worker: &worker });
    grounds.remove()?;
    done
}

fn effort(context: &Context) -> Result<Effort> {
    let number = |flag: &'static str, default: u64| {
        let wrong = |text: &str| usage(format!("{text:?} is no number"), "write it in digits");
        context.flags.value(flag).map_or(Ok(default), |text| text.parse().map_err(|_| wrong(text)))
    };
    let default = Effort::default();
    Ok(Effort { rounds: number("--rounds", default.rounds)?, deaths: number("--deaths", default.deaths)?, ..default })
}

fn watch(context: &Context) -> Result<Report> {
    let globals = &context.globals;
    let driver = watched_driver(globals, &engine::registry(globals)?)?;
    audit::watch(&OutsideOptions {
        graph: globals.graph_root.clone(),
        run: globals.run_root.clone(),
        driver: driver.to_owned(),
        mounts: mounts_of(driver),
        time: duration(context.flags.value("--for").unwrap_or("3s"))?,
    })
}

/// The driver of the store that is configured, by its name or by what is on the root. No driver is asked what it can do there:
/// that tries mounts and makes and deletes trees.
fn watched_driver(globals: &Globals, registry: &Registry) -> Result<&'static str> {
    if let Some(name) = &globals.driver {
        return Ok(registry.get(name)?.name);
    }
    let is_there = |name: &&&str| globals.graph_root.join(format!("{name}-layers")).is_dir();
    let names = registry.names();
    match names.iter().filter(is_there).copied().collect::<Vec<_>>().as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::new(Kind::DriverUnknown, "watch store")
            .at(&globals.graph_root)
            .detail("no driver has layers there")
            .remedy("name the graph root, or the driver with --storage-driver")),
        several => Err(Error::new(Kind::DriverUnusable, "watch store")
            .at(&globals.graph_root)
            .detail(format!("several drivers have layers there: {}", several.join(", ")))
            .remedy("choose one with --storage-driver")),
    }
}

/// What the mounts of a driver are, as far as that is known without asking it.
fn mounts_of(driver: &str) -> Mounts {
    match driver {
        "overlay" | "zfs" => Mounts::Kernel,
        "btrfs" | "vfs" => Mounts::Directories,
        _ => Mounts::Unknown,
    }
}

/// Prints reports, and what they come to as an exit code.
fn tell(context: &mut Context, reports: &[Report]) -> Outcome {
    if context.json() {
        let all: Vec<_> = reports.iter().map(Report::to_json).collect();
        context.out.json(&all)?;
    } else {
        for report in reports {
            context.out.line(report.to_text())?;
        }
    }
    // The worst counts, which has the highest number.
    match reports.iter().map(Report::exit_code).max() {
        None | Some(code::DONE) => Ok(()),
        Some(number) => Err(Stop::Reported(number)),
    }
}
