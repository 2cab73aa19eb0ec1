//! What the tour says.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use storage_core::driver::Candidate;

use super::sample::Sample;
use crate::stop::code;

/// The width of the column of steps.
const STEP: usize = 34;

/// The width of what was seen from outside.
const EVIDENCE: usize = 100;

/// One step of a course.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    pub(crate) told: String,
    pub(crate) failed: bool,
}

/// What a rule looked like from outside.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) rule: &'static str,
    pub(crate) promise: &'static str,
    pub(crate) evidence: String,
    pub(crate) held: bool,
}

/// What one driver did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) driver: &'static str,
    pub(crate) steps: Vec<Step>,
    pub(crate) outside: Vec<Observation>,
}

impl Report {
    /// 0 when every check held.
    pub(crate) fn exit_code(&self) -> u8 {
        let held = self.steps.iter().all(|step| !step.failed) && self.outside.iter().all(|each| each.held);
        if held { code::DONE } else { code::NO }
    }

    pub(crate) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                let milliseconds = step.took.as_secs_f64() * 1e3;
                json!({ "step": step.name, "milliseconds": milliseconds, "told": step.told, "ok": !step.failed })
            })
            .collect();
        let outside: Vec<Value> = self
            .outside
            .iter()
            .map(|each| json!({ "rule": each.rule, "promise": each.promise, "evidence": each.evidence, "ok": each.held }))
            .collect();
        json!({ "driver": self.driver, "steps": steps, "outside": outside, "ok": self.exit_code() == code::DONE })
    }
}

/// `text` in lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The release of the running kernel.
pub(crate) fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

pub(crate) fn opening(scratch: &Path, user: Option<u32>) -> String {
    let who = user.map_or("root".to_owned(), |uid| format!("user {uid}, in a user namespace"));
    format!("A tour on Linux {} as {who}, in {}\n", kernel(), scratch.display())
}

pub(crate) fn survey(candidates: &[Candidate], chosen: Option<&str>, reason: &str) -> String {
    let chosen = match chosen {
        Some(name) => format!("A new store here gets {name}: {reason}."),
        None => format!("A new store here gets no driver: {reason}"),
    };
    format!("\nDrivers\n{}  {chosen}\n", indented(&crate::verbs::survey_table(candidates)))
}

pub(crate) fn layer(sample: &Sample) -> String {
    format!("\nLayer\n  {}\n", sample.text())
}

pub(crate) fn heading(driver: &str) -> String {
    format!("\n{driver}\n")
}

pub(crate) fn step(step: &Step) -> String {
    let mark = if step.failed { "FAILED: " } else { "" };
    let line = format!("  {:<STEP$}{:>8}   {mark}{}", step.name, span(step.took), step.told);
    format!("{}\n", line.trim_end())
}

pub(crate) fn outside(report: &Report) -> String {
    let mut text = String::from("  Seen from outside\n");
    for each in &report.outside {
        let verdict = if each.held { "held  " } else { "BROKEN" };
        let _ = writeln!(text, "    {} {verdict}  {}", each.rule, each.promise);
        for line in wrapped(&each.evidence, EVIDENCE) {
            let _ = writeln!(text, "               {line}");
        }
    }
    if report.outside.is_empty() {
        text.push_str("    nothing: the course ended before it could be looked at\n");
    }
    text
}

pub(crate) fn closing(verdict: u8) -> String {
    match verdict {
        code::DONE => "\nEvery check held.\n".into(),
        _ => "\nNOT every check held: see FAILED and BROKEN above.\n".into(),
    }
}

fn span(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

fn indented(text: &str) -> String {
    let mut indented = String::new();
    for line in text.lines() {
        let _ = writeln!(indented, "  {line}");
    }
    indented
}
