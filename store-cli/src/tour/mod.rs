//! `tour`: the main job of a layer store, shown on this machine without any set-up.
//!
//! It asks which drivers work here, and with each of them, in a throw-away store, imports a real layer, changes a child
//! of it, and checks what comes back. Beside that it watches the mount table and the counts from outside.
//!
//! ```text
//! DIR/lamina-tour-PID-XXXXXXXX/        made by the tour, removed at its end
//!   layer.tar                          the layer, unless --layer names one
//!   DRIVER/graph  DRIVER/run           the throw-away store of one driver
//!   DRIVER/child.tar                   what the child adds
//! ```

mod course;
mod edit;
mod outside;
mod report;
mod sample;
mod scratch;
mod trials;

use serde_json::{Value, json};
use storage_core::driver::{Candidate, Roots};
use storage_core::{Error, Kind};

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::stop::{Outcome, Stop, code};
use crate::userns;
use crate::verbs::survey_verdict;
use course::Course;
use sample::Sample;
use scratch::Scratch;

pub(crate) const HELP: &str = "\
With every driver that works here, in a throw-away store below /var/tmp (or --root DIR): imports a layer, mounts a child,
changes it, lists the changes, takes the diff, applies it again, releases the mount, deletes everything; and tells what
the rules about reading, attaching and releasing looked like from outside. The layer is a tar archive of documentation
of this machine, or --layer FILE, compressed or not. Everything is removed again, also after Ctrl-C. Root runs it in a
mount namespace of its own, an ordinary user in a user namespace. Exit code 0: every check held.";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::list(&["--driver"], "Only with this driver"),
    Flag::switch(&["--json", "-j"], "Prefer JSON output"),
    Flag::value(&["--layer"], "Import this archive"),
    Flag::value(&["--root"], "Make the throw-away stores below this directory"),
];

pub(crate) fn tour(context: &mut Context) -> Outcome {
    let scratch = Scratch::make(context.flags.value("--root"))?;
    let outcome = guided(context, &scratch);
    let removed = scratch.remove();
    let outcome = outcome.and_then(|verdict| removed.map(|()| verdict).map_err(Stop::from));
    match outcome? {
        code::DONE => Ok(()),
        number => Err(Stop::Reported(number)),
    }
}

/// The tour itself. Its answer is the exit code.
fn guided(context: &mut Context, scratch: &Scratch) -> Outcome<u8> {
    let registry = engine::registry(&context.globals)?;
    let probe = Roots::new(scratch.path().join("graph"), scratch.path().join("run"));
    let options = context.globals.driver_options.clone();
    for wanted in context.flags.list("--driver") {
        registry.get(wanted)?;
    }
    let candidates = registry.survey(&probe, &options)?;
    let choice = registry.choose(&probe, None, &options);
    let (chosen, reason) = survey_verdict(&choice, &candidates);
    let text = !context.json();
    if text {
        context.out.text(report::opening(scratch.path(), userns::ordinary_user()))?;
        context.out.text(report::survey(&candidates, chosen, &reason))?;
        context.out.flush()?;
    }
    let takers = takers(context, &candidates)?;
    let sample = Sample::take(context, scratch.path())?;
    if text {
        context.out.text(report::layer(&sample))?;
        context.out.flush()?;
    }
    let mut told: Vec<Value> = Vec::new();
    let mut verdict = code::DONE;
    for candidate in takers {
        let mut course = Course::new(candidate, scratch.path(), &sample);
        course.run(context)?;
        let found = course.report.exit_code();
        if verdict == code::DONE {
            verdict = found;
        }
        if text {
            context.out.text(report::outside(&course.report))?;
            context.out.flush()?;
        }
        told.push(course.report.to_json());
    }
    if text {
        context.out.text(report::closing(verdict))?;
    } else {
        context.out.json(&json!({
            "kernel": report::kernel(),
            "root": scratch.path(),
            "ordinaryUser": userns::ordinary_user(),
            "layer": sample.to_json(),
            "drivers": candidates.iter().map(Candidate::to_json).collect::<Vec<_>>(),
            "chosen": chosen,
            "reason": reason,
            "courses": told,
            "ok": verdict == code::DONE,
        }))?;
    }
    Ok(verdict)
}

/// The drivers that take part: those that work here, and among them those that were named.
fn takers<'a>(context: &Context, candidates: &'a [Candidate]) -> Outcome<Vec<&'a Candidate>> {
    let named = context.flags.list("--driver");
    let wanted = |each: &&Candidate| named.is_empty() || named.iter().any(|name| name == each.descriptor.name);
    let takers: Vec<&Candidate> = candidates.iter().filter(wanted).filter(|each| each.survey.usable).collect();
    if takers.is_empty() {
        let reasons: Vec<String> = candidates
            .iter()
            .filter(wanted)
            .map(|each| format!("{}: {}", each.descriptor.name, each.survey.reason))
            .collect();
        return Err(Error::new(Kind::DriverUnusable, "tour")
            .detail(reasons.join("; "))
            .remedy("name a directory on another filesystem with --root DIR")
            .into());
    }
    Ok(takers)
}
