//! `audit`: the rules of locking, judged by what a driver does. The work is the library's of `tests/driver-conformance`.

use std::path::PathBuf;
use std::process::Command;

use driver_conformance::audit::{self, Effort, Mounts, OutsideOptions, Report, Subject};
use driver_conformance::grounds::{Filesystem, Grounds};
use storage_core::driver::{Capability, Registry, Request};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::globals::duration;
use crate::output::complain;
use crate::roots;
use crate::stop::{Outcome, Stop, code, usage};
use crate::userns;

pub(crate) const HELP: &str = "\
Runs every operation of a driver on a throw-away root: alone, in a crowd of processes and threads, and in processes that are
killed; records every lock and every call of the driver; and judges what was recorded by the rules of locking (R1 to R10 of
docs/locking.md), path by path. Root does it in a mount namespace of its own, an ordinary user in a user namespace; btrfs
and zfs get a filesystem in a file. Without --driver every driver is audited that works on a directory here. --store watches the
store that is configured instead: it attaches to nothing, takes no lock and changes nothing, and tells what can be judged from
outside. Exit code 0: every rule was kept; 40: one was broken; 1: not everything could be judged.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::list(&["--driver"], "Only this driver"),
    Flag::value(&["--plugin"], "The driver in this shared object"),
    Flag::value(&["--root"], "Make the throw-away root below this directory"),
    Flag::value(&["--rounds"], "How often each of the crowd does everything (default 10)"),
    Flag::value(&["--deaths"], "How many processes are killed (default 56)"),
    Flag::switch(&["--store"], "Watch the configured store from outside instead"),
    Flag::value(&["--for"], "How long --store watches (default 3s)"),
    Flag::switch(&["--table"], "Print who holds what in each operation, as it is recorded"),
    super::JSON,
];

/// The first word of a command line that makes this program a worker of an audit.
pub(crate) const WORKER: &str = "audit-worker";

/// What a worker does.
pub(crate) fn work(word: &str) -> u8 {
    match engine::registry().and_then(|registry| audit::work(&registry, word)) {
        Ok(()) => code::DONE,
        Err(error) => {
            complain(&error);
            error.kind().code()
        }
    }
}

pub(crate) fn audit(context: &mut Context) -> Outcome {
    if context.flags.value("--plugin").is_some() {
        return Err(Error::new(Kind::NotSupported, "audit")
            .detail("this version loads no plugins")
            .remedy("link the driver into a program that calls driver_conformance::audit")
            .into());
    }
    let registry = engine::registry()?;
    if context.flags.on("--store") {
        let report = watch(context, &registry)?;
        return tell(context, &[report]);
    }
    let drivers = drivers(context, &registry)?;
    // Without it what is mounted can be seen by others while it is there, and others' mounts stir the table.
    if let Err(error) = userns::private_mounts() {
        complain(format_args!("{error}; going on in the mount namespace of the caller"));
    }
    if context.flags.on("--table") {
        for driver in drivers.into_iter().take(1) {
            let table = on_grounds(context, &registry, driver, audit::table)?;
            context.out.text(table)?;
        }
        return Ok(());
    }
    let effort = effort(context)?;
    let mut reports = Vec::new();
    for driver in drivers {
        reports.push(on_grounds(context, &registry, driver, |subject| audit::audit(subject, effort))?);
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

fn on_grounds<R>(
    context: &Context,
    registry: &Registry,
    driver: &'static str,
    act: impl FnOnce(&Subject<'_>) -> Result<R>,
) -> Result<R> {
    let grounds = grounds(context, Filesystem::for_driver(driver))?;
    let place = grounds.directory("audit")?;
    let program: PathBuf = std::env::current_exe().os("readlink", "/proc/self/exe")?;
    let worker = || {
        let mut command = Command::new(&program);
        command.arg(WORKER);
        command
    };
    let options = context.globals.driver_options.clone();
    let done = act(&Subject { registry, driver: driver.to_owned(), options, place, worker: &worker });
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

fn watch(context: &Context, registry: &Registry) -> Result<Report> {
    let globals = &context.globals;
    let roots = engine::roots(globals);
    let wanted = engine::wanted_driver(globals, registry)?;
    let descriptor = registry.choose(&roots, wanted.as_deref(), &globals.driver_options)?.descriptor;
    let survey = (descriptor.survey)(&Request::new(&roots, descriptor.name, &globals.driver_options)?);
    let kernel = survey.capabilities.has(Capability::KernelMounts);
    audit::watch(&OutsideOptions {
        graph: globals.graph_root.clone(),
        run: globals.run_root.clone(),
        driver: descriptor.name.to_owned(),
        mounts: if kernel { Mounts::Kernel } else { Mounts::Directories },
        time: duration(context.flags.value("--for").unwrap_or("3s"))?,
    })
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
