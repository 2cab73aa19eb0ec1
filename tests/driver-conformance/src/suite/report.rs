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
    /// The cases, in the order in which they were run.
    pub done: Vec<Done>,
}

impl Report {
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
