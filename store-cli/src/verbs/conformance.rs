//! `conformance`, and the processes that its cases start.

use std::ffi::{OsStr, OsString};
use std::path::Path;
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
Makes throw-away stores below $TMPDIR, /var/tmp or /tmp (or --root DIR), on a filesystem in a file where the driver needs one
(or --filesystem), and tries every promise that a driver makes: what it declares that it can is tested, what it doesn't is
tested to be refused before it is asked. A line tells what came of each case: ok, skipped with the reason, or FAILED with the
promise and what was found. Everything is removed again; what a killed run left goes with the next one. Some cases need root.
Exit code 0: no promise is broken; 1: one is.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(&["--driver"], "Try the driver of this name"),
    Flag::value(&["--filesystem"], "Make the stores on this: directory, ext4, xfs, btrfs or zfs"),
    Flag::value(&["--filter"], "Only the cases with this in their names"),
    Flag::switch(&["--json", "-j"], "Prefer JSON output"),
    Flag::value(&["--plugin"], "Try the driver in this shared object"),
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
    let word = match (context.flags.value("--driver"), context.flags.value("--plugin")) {
        (Some(name), None) => OsString::from(name),
        (None, Some(file)) => roots::absolute(file)?.into_os_string(),
        (None, None) => return Err(usage("no driver is named", "give --driver NAME or --plugin FILE")),
        (Some(_), Some(_)) => return Err(usage("two drivers are named", "give --driver NAME or --plugin FILE")),
    };
    Ok((descriptor(context, &word)?, vec![WORKER.into(), word]))
}

/// The driver of this name; where it is an absolute path, the one in that shared object, whatever its name.
fn descriptor(context: &Context, word: &OsStr) -> Result<Descriptor> {
    match word.to_str() {
        Some(name) if !name.starts_with('/') => engine::registry(&context.globals)?.get(name),
        _ => engine::plugins(&context.globals).load(Path::new(word)),
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
    let (word, words) = (&context.args[0], &context.args[1..]);
    Ok(work(&descriptor(context, OsStr::new(word))?, words)?)
}
