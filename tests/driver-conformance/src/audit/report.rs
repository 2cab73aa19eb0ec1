//! What an audit found, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use storage_core::Kind;
use storage_core::record::Proof;

use super::judge::{Breach, Entry, Ledger};
use super::merge::Story;
use super::rule::Rule;

/// What is said of one rule on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was seen to be kept.
    Kept,
    /// It was seen to be broken.
    Broken,
    /// It is kept by construction, and nothing was seen that says otherwise.
    ByConstruction,
    /// Nothing was seen that tells.
    NotJudged,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Kept => "kept",
            Verdict::Broken => "broken",
            Verdict::ByConstruction => "by construction",
            Verdict::NotJudged => "not judged",
        }
    }
}

/// One rule on one path.
#[derive(Clone, Debug)]
pub struct Line {
    /// The operation of the store.
    pub path: String,
    /// The rule.
    pub rule: Rule,
    /// What is said of it.
    pub verdict: Verdict,
    /// What that stands on.
    pub evidence: String,
    /// What broke it.
    pub breaches: Vec<Breach>,
}

/// What an audit found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The driver.
    pub driver: String,
    /// Its version.
    pub version: String,
    /// Path by path and rule by rule.
    pub lines: Vec<Line>,
    /// What could not be done, so that it could not be judged.
    pub failures: Vec<String>,
    /// What this kind of audit never judges, and why.
    pub beyond: Vec<String>,
    /// How much was recorded.
    pub events: usize,
    /// How many processes told something.
    pub processes: usize,
    /// How many threads.
    pub threads: usize,
    /// Who attached what: the operation by the mount point.
    attached: BTreeMap<String, String>,
}

impl Report {
    pub(super) fn new(driver: &str, version: &str) -> Self {
        Report {
            driver: driver.to_owned(),
            version: version.to_owned(),
            lines: Vec::new(),
            failures: Vec::new(),
            beyond: Vec::new(),
            events: 0,
            processes: 0,
            threads: 0,
            attached: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, story: &Story) {
        self.events += story.events;
        self.processes += story.processes();
        self.threads += story.threads.len();
        for call in story.calls.iter().filter(|call| call.proof == Proof::Mounting) {
            let after = call.truth_after().map_or(&[][..], |truth| &truth.mounts);
            let new = after.iter().filter(|mount| !call.before.mounts.contains(mount));
            self.attached.extend(new.map(|mount| (mount.point.clone(), call.operation.clone())));
        }
    }

    /// The call that attached what a text names; the deletion of everything, when none did.
    pub(super) fn last_call(&self, text: &str) -> String {
        let named = self.attached.iter().find(|(point, _)| text.ends_with(point.as_str()));
        named.map_or("unmount".to_owned(), |(_, operation)| operation.clone())
    }

    pub(super) fn filled(mut self, ledger: &Ledger) -> Self {
        self.lines = ledger.entries.iter().map(|((path, rule), entry)| line(path, *rule, entry)).collect();
        self
    }

    /// As [`Report::filled`], of a store that was only watched: nothing is known by construction of whoever uses it.
    pub(super) fn watched(mut self, ledger: &Ledger) -> Self {
        self = self.filled(ledger);
        let seen = |rule: Rule| ledger.entries.keys().any(|(_, each)| *each == rule);
        for rule in Rule::ALL.iter().filter(|rule| !seen(**rule)) {
            if let Some(reason) = rule.construction() {
                self.lines.push(Line {
                    path: "inside the processes".to_owned(),
                    rule: *rule,
                    verdict: Verdict::ByConstruction,
                    evidence: format!("not to be seen from outside: {reason}"),
                    breaches: Vec::new(),
                });
            }
        }
        self
    }

    /// Whether a rule was broken.
    pub fn is_broken(&self) -> bool {
        self.lines.iter().any(|line| line.verdict == Verdict::Broken)
    }

    /// The exit code of a program that reports this: 40 ([`Kind::RuleBroken`]) when a rule was broken, else 1 when something
    /// failed and so couldn't be judged, else 0: also where a rule is not judged because nothing tells of it from outside.
    pub fn exit_code(&self) -> u8 {
        match (self.is_broken(), self.failures.is_empty()) {
            (true, _) => Kind::RuleBroken.code(),
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// The rules that were broken, each with the calls that broke it.
    pub fn broken(&self) -> BTreeMap<Rule, Vec<&str>> {
        let mut broken: BTreeMap<Rule, Vec<&str>> = BTreeMap::new();
        for line in &self.lines {
            for breach in &line.breaches {
                broken.entry(line.rule).or_default().push(&breach.call);
            }
        }
        broken
    }

    /// The report as a person reads it.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} {}: {} events of {} threads in {} processes\n",
            self.driver, self.version, self.events, self.threads, self.processes
        );
        let mut path = "";
        for line in &self.lines {
            if line.path != path {
                path = &line.path;
                let _ = writeln!(text, "\n{path}");
            }
            let _ = writeln!(text, "  {:3}  {:15}  {}", line.rule.name(), line.verdict.name(), line.evidence);
            for breach in &line.breaches {
                let times = if breach.times > 1 { format!(" ({} times)", breach.times) } else { String::new() };
                let _ = writeln!(text, "       BROKEN by {}: {}{times}", breach.call, breach.what);
            }
        }
        text.push('\n');
        for rule in Rule::ALL {
            let _ = writeln!(text, "{:3}  {:15}  {}", rule.name(), self.verdict(*rule).name(), rule.promise());
            if let Some(reason) = rule.construction() {
                let _ = writeln!(text, "                      {reason}");
            }
        }
        for failure in self.failures.iter().chain(&self.beyond) {
            let _ = writeln!(text, "not judged: {failure}");
        }
        text
    }

    /// What is said of a rule on all paths together.
    pub fn verdict(&self, rule: Rule) -> Verdict {
        let verdicts: Vec<Verdict> =
            self.lines.iter().filter(|line| line.rule == rule).map(|line| line.verdict).collect();
        let any = |wanted: Verdict| verdicts.contains(&wanted);
        [Verdict::Broken, Verdict::ByConstruction, Verdict::Kept]
            .into_iter()
            .find(|verdict| any(*verdict))
            .unwrap_or(Verdict::NotJudged)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(Line::to_json).collect();
        let rules: Vec<Value> = Rule::ALL
            .iter()
            .map(|rule| {
                json!({
                    "rule": rule.name(),
                    "promise": rule.promise(),
                    "verdict": self.verdict(*rule).name(),
                    "byConstruction": rule.construction(),
                })
            })
            .collect();
        json!({
            "driver": self.driver,
            "version": self.version,
            "events": self.events,
            "processes": self.processes,
            "threads": self.threads,
            "paths": lines,
            "rules": rules,
            "notJudged": self.failures,
            "beyond": self.beyond,
            "ok": !self.is_broken() && self.failures.is_empty(),
        })
    }
}

impl Line {
    fn to_json(&self) -> Value {
        let breaches: Vec<Value> = self
            .breaches
            .iter()
            .map(|breach| json!({"call": breach.call, "what": breach.what, "times": breach.times}))
            .collect();
        json!({
            "path": self.path,
            "rule": self.rule.name(),
            "verdict": self.verdict.name(),
            "evidence": self.evidence,
            "broken": breaches,
        })
    }
}

fn line(path: &str, rule: Rule, entry: &Entry) -> Line {
    let verdict = if !entry.broken.is_empty() {
        Verdict::Broken
    } else if entry.checked <= entry.unsure {
        Verdict::NotJudged
    } else if rule.construction().is_some() {
        Verdict::ByConstruction
    } else {
        Verdict::Kept
    };
    let mut parts: Vec<String> = entry.seen.iter().map(|(what, count)| format!("{count} {what}")).collect();
    parts.extend(entry.most.iter().map(|(what, (_, words))| format!("{what}: {words}")));
    if entry.unsure > 0 {
        parts.push(format!("{} looks can't tell, because others were mounting meanwhile", entry.unsure));
    }
    Line { path: path.to_owned(), rule, verdict, evidence: parts.join("; "), breaches: entry.broken.clone() }
}
