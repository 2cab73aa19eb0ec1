//! `check` and `repair`.

use std::time::Duration;

use serde_json::json;

use crate::app::Context;
use crate::engine::{
    self, CheckOptions, CheckReport, DamagedContainers, Depth, Finding, MountElsewhere, RepairReport, Store, Subject,
    ThreadKey,
};
use crate::flags::Flag;
use crate::output::complain;
use crate::stop::{Outcome, Stop, code, usage};

pub(crate) const HELP: &str = "\
Looks for damage: records, places, links, sizes and mounts, and, without --quick, the digest of every layer and every file
of a layer against the archive that it was made from. Changes nothing without --repair; other commands go on meanwhile.
Unlike the reference's it unmounts nothing when it ends.";
pub(crate) const REPAIR_HELP: &str = "\
Checks, and mends what is wrong with the layers, images and containers named, or with everything: links and files of
records are made again; what can't be is deleted, with the images on it, and with --force with the containers on it. What
leaves a file of records is kept beside it, in a file that ends in `.damaged-lamina-N`.";

const FORCE: Flag = Flag::switch(&["--force", "-f"], "Repair, and delete damaged containers too");
const QUICK: Flag = Flag::switch(&["--quick", "-q"], "Read no content of layers");
const MAX: Flag = Flag::value(&["--max", "-m"], "The age from which an unreferenced layer is told (24h)");

pub(crate) const FLAGS: &[Flag] =
    &[MAX, Flag::switch(&["--repair", "-r"], "Repair what is damaged"), FORCE, QUICK, super::JSON];
pub(crate) const REPAIR_FLAGS: &[Flag] = &[MAX, FORCE, QUICK, super::JSON];

pub(crate) fn check(context: &mut Context) -> Outcome {
    let force = context.flags.on("--force");
    let mending = force || context.flags.on("--repair");
    let (store, mut key) = engine::open(context)?;
    let report = look(context, &store, &mut key)?;
    let repaired = if mending { Some(mend(context, &store, &mut key, &report, &[])?) } else { None };
    tell(context, &report, repaired.as_ref())?;
    match repaired {
        Some(repaired) => ended(&repaired),
        None if report.is_clean() => Ok(()),
        None => {
            complain(format_args!("check: {}", summary(&report)));
            Err(Stop::Reported(code::NO))
        }
    }
}

pub(crate) fn repair(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let only = ids(&store, &context.args);
    let report = look(context, &store, &mut key)?;
    let repaired = mend(context, &store, &mut key, &report, &only)?;
    tell(context, &report, Some(&repaired))?;
    ended(&repaired)
}

fn look(context: &Context, store: &Store, key: &mut ThreadKey) -> Outcome<CheckReport> {
    let mut options = CheckOptions::default();
    if context.flags.on("--quick") {
        options.depth = Depth::Quick;
    }
    if let Some(text) = context.flags.value("--max") {
        options.unreferenced_for = duration(text)?;
    }
    let work = context.work("check");
    Ok(store.check(key, &options, &work.task)?)
}

fn mend(
    context: &Context,
    store: &Store,
    key: &mut ThreadKey,
    report: &CheckReport,
    only: &[String],
) -> Outcome<RepairReport> {
    let containers = if context.flags.on("--force") { DamagedContainers::Deleted } else { DamagedContainers::Kept };
    let work = context.work("repair");
    Ok(store.repair(key, report, only, containers, &work.task)?)
}

/// The ids of what is called so; what nothing is called any more may still be what a finding is about.
fn ids(store: &Store, names: &[String]) -> Vec<String> {
    let sight = store.sight();
    let id = |name: &String| match sight.as_ref().map(|sight| sight.item(name, "repair")) {
        Ok(Ok((_, item))) => item.id().to_owned(),
        _ => name.clone(),
    };
    names.iter().map(id).collect()
}

fn tell(context: &mut Context, report: &CheckReport, repaired: Option<&RepairReport>) -> Outcome {
    if context.json() {
        return context.out.json(&as_json(report, repaired));
    }
    let groups = [
        ("layer", Subject::Layer, true),
        ("read-only layer", Subject::Layer, false),
        ("image", Subject::Image, true),
        ("read-only image", Subject::Image, false),
        ("container", Subject::Container, true),
    ];
    for (word, subject, own) in groups {
        let mut last = None;
        for finding in report.about(subject, own) {
            if last != Some(&finding.id) {
                context.out.line(format_args!("{word} {}:", finding.id))?;
                last = Some(&finding.id);
            }
            context.out.line(format_args!(" {finding}"))?;
        }
    }
    for own in [true, false] {
        for finding in report.about(Subject::Store, own) {
            context.out.line(finding)?;
        }
    }
    for mount in &report.elsewhere {
        complain(format_args!("{mount}; unmount it there, or let that namespace end"));
    }
    let Some(repaired) = repaired else { return Ok(()) };
    for (subject, id) in &repaired.deleted {
        context.out.line(format_args!("deleted {} {id}", word(*subject)))?;
    }
    for path in &repaired.kept {
        context.out.line(format_args!("kept {}", path.display()))?;
    }
    Ok(())
}

fn word(subject: Subject) -> &'static str {
    match subject {
        Subject::Layer => "layer",
        Subject::Image => "image",
        Subject::Container => "container",
        Subject::Store => "store",
    }
}

fn as_json(report: &CheckReport, repaired: Option<&RepairReport>) -> serde_json::Value {
    let grouped = |subject, own| {
        let mut groups: std::collections::BTreeMap<&str, Vec<String>> = std::collections::BTreeMap::new();
        for finding in report.about(subject, own) {
            groups.entry(&finding.id).or_default().push(finding.to_string());
        }
        groups
    };
    let elsewhere: Vec<_> = report.elsewhere.iter().map(mount_elsewhere).collect();
    let mut value = json!({
        "Layers": grouped(Subject::Layer, true),
        "ROLayers": grouped(Subject::Layer, false),
        "Images": grouped(Subject::Image, true),
        "ROImages": grouped(Subject::Image, false),
        "Containers": grouped(Subject::Container, true),
        "Findings": report.findings,
        "Elsewhere": elsewhere,
    });
    if let Some(repaired) = repaired {
        let deleted: Vec<_> =
            repaired.deleted.iter().map(|(subject, id)| json!({"kind": word(*subject), "id": id})).collect();
        let failed: Vec<String> = repaired.failed.iter().map(ToString::to_string).collect();
        value["Repair"] = json!({
            "Repaired": repaired.repaired, "Deleted": deleted, "Kept": repaired.kept, "Failed": failed,
        });
    }
    value
}

fn mount_elsewhere(mount: &MountElsewhere) -> serde_json::Value {
    json!({"id": mount.id, "path": mount.path.to_string_lossy(), "processes": mount.processes})
}

fn summary(report: &CheckReport) -> String {
    // The reference counts things, not findings.
    let count = |subject, own| {
        let ids: std::collections::BTreeSet<&str> =
            report.about(subject, own).map(|finding: &Finding| finding.id.as_str()).collect();
        ids.len()
    };
    let (layers, other_layers) = (count(Subject::Layer, true), count(Subject::Layer, false));
    let (images, other_images) = (count(Subject::Image, true), count(Subject::Image, false));
    let containers = count(Subject::Container, true);
    let house = report.about(Subject::Store, true).chain(report.about(Subject::Store, false)).count();
    let house = if house > 0 { format!(", {house} errors of the store itself") } else { String::new() };
    format!(
        "{layers} layer errors, {other_layers} read-only layer errors, {images} image errors, \
         {other_images} read-only image errors, {containers} container errors{house}"
    )
}

fn ended(repaired: &RepairReport) -> Outcome {
    for error in &repaired.failed {
        complain(format_args!("repair: {error}"));
    }
    match repaired.failed.first() {
        Some(error) => Err(Stop::Reported(error.kind().code())),
        None => Ok(()),
    }
}

/// A duration as the reference reads it: `24h`, `1h30m`, `90s`, `0`.
fn duration(text: &str) -> Outcome<Duration> {
    let refused = || usage(format!("{text:?} is no duration"), "write it as 24h, 1h30m, 90s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let number: f64 = rest[..end].parse().map_err(|_| refused())?;
        let unit = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        let seconds = match &rest[end..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(refused().into()),
        };
        total += number * seconds;
        rest = &rest[unit..];
    }
    if text.is_empty() {
        Err(refused().into())
    } else {
        Duration::try_from_secs_f64(total).map_err(|_| refused().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_reference_reads_them() {
        for (text, seconds) in [("24h", 86_400), ("1h30m", 5400), ("90s", 90), ("0", 0), ("0s", 0), ("1.5m", 90)] {
            assert_eq!(duration(text).ok(), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1", "1d", "-1h", "1h-", "1h 2m", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
