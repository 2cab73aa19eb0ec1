//! `conformance`, and the processes that its cases start.

use std::ffi::OsString;
use std::process::Command;
use std::sync::Arc;

use driver_conformance::grounds::{Filesystem, Grounds};
use driver_conformance::suite::{Suite, Workers, work};
use storage_core::Result;
use storage_core::driver::Descriptor;

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::roots;
use crate::stop::{Outcome, Stop, code, usage};

pub(crate) const HELP: &str = "\
Tries the driver of a name (--driver NAME) or that of a shared object (--plugin FILE). Makes throw-away stores below $TMPDIR, /var/tmp or /tmp (or --root DIR), on a filesystem in a file where the driver needs one
(or --filesystem), and tries every promise that a driver makes: what it declares that it can is tested, what it doesn't is
tested to be refused before it is asked. A line tells what came of each case: ok, skipped with the reason, or FAILED with the
promise and what was found. Everything is removed again; what a killed run left goes with the next one. Some cases need root.
Exit code 0: no promise is broken; 1: one is.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(&["--driver"], "Try the driver of this name"),
    Flag::value(&["--filesystem"], "Make the stores on this: directory, ext4, xfs, btrfs or zfs"),
    Flag::value(&["--filter"], "Only the cases with this in their names"),
    Flag::switch(&["--json", "-j"], "Prefer JSON output"),
    Flag::value(&["--root"], "Make the throw-away stores below this directory"),
];

/// The verb that a worker is started with.
const WORKER: &str = "conformance-worker";

pub(crate) fn conformance(context: &mut Context) -> Outcome {
    let (descriptor, start) = wanted(context)?;
    let filesystem = filesystem(context, descriptor.name)?;
    let root = context.flags.value("--root").map(roots::absolute).transpose()?;
    let grounds = Arc::new(Grounds::make(root.as_deref(), filesystem)?);
    let workers = Workers::new(move || {
        let mut command = Command::new("/proc/self/exe");
        command.args(&start);
        command
    });
    let suite = Suite { descriptor, grounds: Arc::clone(&grounds), workers: Arc::new(workers) };
    let filter = context.flags.value("--filter").unwrap_or_default().to_owned();
    let text = !context.json();
    let mut written = Ok(());
    let report = suite.run(&filter, &mut |done| {
        if text && written.is_ok() {
            written = context.out.line(done).and_then(|()| context.out.flush());
        }
    })?;
    drop(suite);
    // What a case that never ended still uses is left to the next run.
    Arc::try_unwrap(grounds).map_or(Ok(()), Grounds::remove)?;
    written?;
    if text {
        context.out.line(format!("\n{}", report.summary()))?;
    } else {
        context.out.json(&report.to_json())?;
    }
    if report.is_good() { Ok(()) } else { Err(Stop::Reported(code::NO)) }
}

/// The driver to try, and the words with which a worker of it is started.
fn wanted(context: &Context) -> Result<(Descriptor, Vec<OsString>)> {
    match (context.flags.value("--driver"), context.globals.plugins.as_slice()) {
        (Some(name), []) => {
            let descriptor = engine::registry(&context.globals)?.get(name)?;
            Ok((descriptor, vec![WORKER.into(), descriptor.name.into()]))
        }
        (None, [file]) => {
            // It is tried under whatever name it has, also one that a linked driver has.
            let descriptor = engine::plugins(&context.globals).load(file)?;
            Ok((descriptor, vec!["--plugin".into(), file.into(), WORKER.into(), descriptor.name.into()]))
        }
        (None, []) => Err(usage("no driver is named", "give --driver NAME or --plugin FILE")),
        _ => Err(usage("several drivers are named", "give --driver NAME or one --plugin FILE")),
    }
}

fn filesystem(context: &Context, driver: &str) -> Result<Filesystem> {
    match context.flags.value("--filesystem") {
        None => Ok(Filesystem::for_driver(driver)),
        Some(name) => Filesystem::named(name).ok_or_else(|| {
            let all: Vec<_> = Filesystem::ALL.iter().map(|each| each.name()).collect();
            usage(format!("{name:?} is no filesystem that can be made"), format!("use one of {}", all.join(", ")))
        }),
    }
}

/// The body of a worker process.
pub(crate) fn worker(context: &mut Context) -> Outcome {
    let (name, words) = (&context.args[0], &context.args[1..]);
    let descriptor = match context.globals.plugins.as_slice() {
        [file] => engine::plugins(&context.globals).load(file)?,
        _ => engine::registry(&context.globals)?.get(name)?,
    };
    Ok(work(&descriptor, words)?)
}
