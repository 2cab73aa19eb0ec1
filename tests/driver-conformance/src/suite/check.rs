//! How a case says what it found.

use std::fmt::Debug;
use std::path::Path;

use storage_core::{Error, Kind};

/// Why a case ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A promise is broken, or something that must work doesn't.
    Failed(String),
    /// Something that the case needs is missing, of the machine or of the driver.
    Skipped(String),
}

/// What a step of a case comes to.
pub(super) type Checked<T = ()> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error.to_string())
    }
}

/// The end of a case whose promise is broken.
pub(super) fn fail<T>(detail: impl Into<String>) -> Checked<T> {
    Err(Stop::Failed(detail.into()))
}

/// The end of a case that can't be run.
pub(super) fn skip<T>(reason: impl Into<String>) -> Checked<T> {
    Err(Stop::Skipped(reason.into()))
}

/// Checks one thing that must be so. `broken` says what is wrong when it isn't.
pub(super) fn must(so: bool, broken: impl Into<String>) -> Checked {
    if so { Ok(()) } else { fail(broken) }
}

/// Checks that what was found is what was expected.
#[allow(clippy::needless_pass_by_value, reason = "so that cases read without references")]
pub(super) fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    fail(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Checks two lists of lines, and shows only where they differ.
pub(super) fn same_lines(what: &str, found: &[String], expected: &[String]) -> Checked {
    if found == expected {
        return Ok(());
    }
    let lacks = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).take(5).cloned().collect()
    };
    let (more, less) = (lacks(found, expected), lacks(expected, found));
    if more.is_empty() && less.is_empty() {
        return fail(format!("{what}: in another order: {found:?}"));
    }
    fail(format!("{what}: there is {more:?}, and there should be {less:?}"))
}

/// Checks that something was refused, with one of these kinds of error.
pub(super) fn refused<T>(what: &str, result: Result<T, Error>, kinds: &[Kind]) -> Checked {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => {
            fail(format!("{what}: refused with {} ({error}), not {}", error.kind().name(), names.join(" or ")))
        }
        Ok(_) => fail(format!("{what}: not refused with {}", names.join(" or "))),
    }
}

/// Names the call and the path when a step of the case itself fails.
pub(super) trait Step<T> {
    /// See the trait.
    fn step(self, call: &str, path: impl AsRef<Path>) -> Checked<T>;
}

impl<T, E: std::fmt::Display> Step<T> for Result<T, E> {
    fn step(self, call: &str, path: impl AsRef<Path>) -> Checked<T> {
        self.map_err(|error| Stop::Failed(format!("{call} {}: {error}", path.as_ref().display())))
    }
}
