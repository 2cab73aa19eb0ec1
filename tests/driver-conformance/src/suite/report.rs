//! What came of the cases, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use storage_core::driver::{Capabilities, Capability};

use super::Case;
use crate::grounds::Filesystem;

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The promise holds.
    Passed,
    /// It is broken: how.
    Failed(String),
    /// It could not be tried: why.
    Skipped(String),
}

impl Outcome {
    fn words(&self) -> String {
        match self {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed(_) => "failed".to_owned(),
            Outcome::Skipped(reason) => format!("skipped: {reason}"),
        }
    }
}

/// One case that is done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The case.
    pub name: String,
    /// What it promises.
    pub promise: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

impl Done {
    pub(super) fn of(case: &Case, outcome: Outcome, took: Duration) -> Self {
        Done { name: case.name.to_owned(), promise: case.promise.to_owned(), outcome, took }
    }

    fn to_json(&self) -> Value {
        let (word, detail) = match &self.outcome {
            Outcome::Passed => ("ok", None),
            Outcome::Failed(detail) => ("failed", Some(detail)),
            Outcome::Skipped(reason) => ("skipped", Some(reason)),
        };
        json!({
            "name": self.name,
            "promise": self.promise,
            "outcome": word,
            "detail": detail,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "{} ... ok", self.name),
            Outcome::Skipped(reason) => write!(f, "{} ... skipped: {reason}", self.name),
            Outcome::Failed(detail) => {
                write!(f, "{} ... FAILED\n    promised: {}\n    {detail}", self.name, self.promise)
            }
        }
    }
}

/// What came of all cases that were run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The driver.
    pub driver: String,
    /// What the stores were on.
    pub filesystem: Filesystem,
    /// What the driver has declared.
    pub capabilities: Capabilities,
    /// Whether it lets layers learn their parent late.
    pub late_parents: bool,
    /// The cases, in the order in which they were run.
    pub done: Vec<Done>,
}

impl Report {
    /// What the driver has declared, in the words of `expected`.
    pub fn declared(&self) -> Vec<&'static str> {
        let all = Capability::ALL.iter().filter(|capability| self.capabilities.has(**capability));
        all.map(|capability| capability.name()).chain(self.late_parents.then_some("late-parents")).collect()
    }

    /// How many passed, failed and were skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Outcome) -> bool| self.done.iter().filter(|done| is(&done.outcome)).count();
        (
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
    }

    /// Whether no promise is broken, and something was tried at all.
    pub fn is_good(&self) -> bool {
        let (passed, failed, _) = self.counts();
        failed == 0 && passed > 0
    }

    /// The cases that came out otherwise in `other`, a line each. How a promise is broken is not compared, why it could not
    /// be tried is.
    pub fn differences(&self, other: &Report) -> Vec<String> {
        let outcome = |report: &Report, name: &str| {
            let found = report.done.iter().find(|done| done.name == name);
            found.map_or_else(|| "not run".to_owned(), |done| done.outcome.words())
        };
        let mut names: Vec<&str> = self.done.iter().map(|done| done.name.as_str()).collect();
        names.extend(other.done.iter().map(|done| done.name.as_str()).filter(|name| outcome(self, name) == "not run"));
        let mut differences = Vec::new();
        for name in names {
            let (one, two) = (outcome(self, name), outcome(other, name));
            if one != two {
                differences.push(format!("{name}: {one} / {two}"));
            }
        }
        differences
    }

    /// The last line, as test runners write it.
    pub fn summary(&self) -> String {
        let (passed, failed, skipped) = self.counts();
        let took: Duration = self.done.iter().map(|done| done.took).sum();
        format!("{}: {passed} passed, {failed} failed, {skipped} skipped in {:.1} s", self.driver, took.as_secs_f64())
    }

    /// The whole as JSON.
    pub fn to_json(&self) -> Value {
        let (passed, failed, skipped) = self.counts();
        let all = Capability::ALL.iter().filter(|capability| self.capabilities.has(**capability));
        json!({
            "driver": self.driver,
            "filesystem": self.filesystem.name(),
            "capabilities": all.map(|capability| capability.name()).collect::<Vec<_>>(),
            "cases": self.done.iter().map(Done::to_json).collect::<Vec<_>>(),
            "passed": passed,
            "failed": failed,
            "skipped": skipped,
            "ok": self.is_good(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(done: &[(&str, Outcome)]) -> Report {
        let one = |(name, outcome): &(&str, Outcome)| Done {
            name: (*name).to_owned(),
            promise: String::new(),
            outcome: outcome.clone(),
            took: Duration::ZERO,
        };
        let done = done.iter().map(one).collect();
        Report {
            driver: "d".to_owned(),
            filesystem: Filesystem::Plain,
            capabilities: Capabilities::NONE,
            late_parents: false,
            done,
        }
    }

    #[test]
    fn what_is_declared_is_told_in_the_words_of_the_list_of_cases() {
        let mut report = report(&[]);
        assert!(report.declared().is_empty());
        report.capabilities = Capabilities::NONE.with(Capability::Quota, true).with(Capability::KernelMounts, true);
        report.late_parents = true;
        assert_eq!(report.declared(), ["kernel-mounts", "quota", "late-parents"]);
    }

    #[test]
    fn cases_that_came_out_otherwise_are_named() {
        let (failed, skipped) = (|why: &str| Outcome::Failed(why.into()), |why: &str| Outcome::Skipped(why.into()));
        let one = report(&[
            ("same", Outcome::Passed),
            ("broken", failed("here")),
            ("reason", skipped("a")),
            ("worse", Outcome::Passed),
            ("gone", skipped("b")),
        ]);
        let two = report(&[
            ("new", Outcome::Passed),
            ("worse", failed("so")),
            ("reason", skipped("c")),
            ("broken", failed("there")),
            ("same", Outcome::Passed),
        ]);
        let expected = [
            "reason: skipped: a / skipped: c",
            "worse: passed / failed",
            "gone: skipped: b / not run",
            "new: not run / passed",
        ];
        assert_eq!(one.differences(&two), expected);
        assert!(one.differences(&one).is_empty());
    }
}
