//! How a check is done, and what comes of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::finding::{Finding, Mend, Subject};

/// How far a check goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Records, places, links, sizes and mounts: no file's content is read.
    Quick,
    /// Besides: the digest of every layer and of all data, and every file of a layer against its archive.
    #[default]
    Full,
}

/// How a check is done.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// How far it goes.
    pub depth: Depth,
    /// How old a layer that nobody uses must be to be told.
    pub unreferenced_for: Duration,
    /// How many layers are read at once.
    pub threads: NonZeroUsize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        CheckOptions { depth: Depth::Full, unreferenced_for: Duration::from_hours(24), threads }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong, by subject, store and id.
    pub findings: Vec<Finding>,
    /// Layers looked at, those of additional stores among them.
    pub layers: u64,
    /// Images looked at, those of additional stores among them.
    pub images: u64,
    /// Containers looked at.
    pub containers: u64,
    /// Layers whose archives were read again.
    pub read: u64,
    /// What is mounted in other mount namespaces only, and not counted. It is no finding: the store is right, and only who is
    /// there can unmount it.
    pub elsewhere: Vec<MountElsewhere>,
}

/// A layer that isn't counted as mounted, and that others have mounted in a mount namespace of theirs: a copy that was made
/// with the namespace, or what an unmount by force left there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountElsewhere {
    /// The layer.
    pub id: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// A process of each namespace that has it.
    pub processes: Vec<u32>,
}

impl fmt::Display for MountElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<_> = self.processes.iter().map(ToString::to_string).collect();
        write!(
            f,
            "layer {} is mounted in another mount namespace and not counted: {}: seen by process {}",
            self.id,
            self.path.display(),
            pids.join(", ")
        )
    }
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings about one kind of subject, of the store itself or of the additional ones.
    pub fn about(&self, subject: Subject, own: bool) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.subject == subject && (finding.store == 0) == own)
    }

    /// The findings that `mend` mends.
    pub fn mended_by(&self, mend: Mend) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.mend() == mend)
    }

    pub(super) fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            let key = |finding: &Finding| (finding.subject, finding.store, finding.id.clone(), finding.kind);
            key(one).cmp(&key(other)).then_with(|| one.path.cmp(&other.path))
        });
        self.findings.dedup();
    }
}
