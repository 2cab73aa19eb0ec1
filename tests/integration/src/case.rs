//! What a case is, and what can come of it.

use crate::scratch::Scratch;

/// One test: a name, the most seconds it may take, and what it does. It fails by panicking.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `subject::behaviour`, with `::driver` at the end where it is run for several.
    pub name: &'static str,
    /// The case is ended and counts as failed after this many seconds.
    pub limit: u64,
    /// The test itself.
    pub run: fn(&Scratch) -> Outcome,
}

impl Case {
    /// The filesystem that the case's driver needs, by the end of its name; none for a driver that works on every one.
    pub fn filesystem(&self) -> Option<&'static str> {
        self.name.ends_with("btrfs").then_some("btrfs")
    }
}

/// Cases whose subject is what can be known of all processes.
const OF_ALL_PROCESSES: &[&str] = &[
    "repair::a_count_without_a_mount_is_corrected::overlay",
    "unmount::corrected_when_every_process_was_asked::overlay",
];

impl Case {
    /// Whether the case runs among all processes of the machine, not in a namespace of its own.
    pub fn sees_all_processes(&self) -> bool {
        OF_ALL_PROCESSES.contains(&self.name)
    }
}

/// The end of a case that did not fail.
pub type Outcome = Result<(), Skip>;

/// Why a case can't run on this machine: which part of it is missing.
#[derive(Debug)]
pub struct Skip(pub String);

/// Shorthand for an entry in a list of cases.
pub const fn case(name: &'static str, limit: u64, run: fn(&Scratch) -> Outcome) -> Case {
    Case { name, limit, run }
}
