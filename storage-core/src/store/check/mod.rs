//! Looking whether a store is whole. Nothing is changed.
//!
//! What is looked at quickly (records, places, links, sizes) is looked at under shared holds of a bounded number of calls
//! each, so that what is half-done by others is never seen and nobody waits for long. What is read (archives, data) is read
//! without a lock: descriptors are taken under a shared hold, and what looks wrong counts only if fresh records still say the
//! same of it afterwards. `docs/check.md` tells what each finding means.

mod content;
mod finding;
mod layers;
mod mounts;
mod places;
mod records;
mod report;
mod things;

pub use finding::{Finding, FindingKind, Mend, Subject};
pub use report::{CheckOptions, CheckReport, Depth, MountElsewhere};

pub(super) use content::examine_archive;
pub(super) use mounts::Disagree;
pub(super) use places::{KEPT, is_made_for_an_item};

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Store;
use crate::error::{Kind, Result};
use crate::locks::ThreadKey;
use crate::task::Task;

/// How many things are looked at under one hold.
const AT_ONCE: usize = 64;

/// A check under way.
struct Check<'a> {
    store: &'a Store,
    options: &'a CheckOptions,
    task: &'a Task,
    report: CheckReport,
    /// Places of staging and trash that were nobody's at the beginning.
    stale: BTreeSet<PathBuf>,
}

/// Which levels can be read at all.
#[derive(Clone, Copy)]
struct Readable {
    layers: bool,
    mounts: bool,
    /// All that tells who uses what: layers, images and containers.
    users: bool,
}

impl Store {
    /// Looks for damage in the store and, by what can be read of them, in its additional stores.
    ///
    /// Changes nothing. Holds `layers.lock`, `images.lock`, `containers.lock` and `mountpoints.lock` shared, for moments; no
    /// lock while data is read. Fails only when the check itself can't be done: damage is what it reports.
    pub fn check(&self, key: &mut ThreadKey, options: &CheckOptions, task: &Task) -> Result<CheckReport> {
        let _purpose = crate::record::purpose("check");
        let stale = self.stale_places()?;
        let mut check = Check { store: self, options, task, report: CheckReport::default(), stale };
        let readable = check.records(key)?;
        if readable.layers {
            check.layers(key)?;
            if options.depth == Depth::Full {
                check.contents(key)?;
            }
        }
        if readable.users {
            check.things(key)?;
            check.unreferenced(key)?;
        }
        check.additional()?;
        check.places(key, readable)?;
        if readable.layers && readable.mounts {
            check.mounts(key)?;
        }
        check.inherit();
        check.report.sort();
        Ok(check.report)
    }
}

impl Check<'_> {
    fn say(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }
}

/// The value; nothing where the file that should tell it can't be understood.
fn unless_corrupt<T>(result: Result<T>) -> Result<Result<T, crate::error::Error>> {
    match result {
        Err(error) if error.kind() == Kind::Corrupt => Ok(Err(error)),
        other => other.map(Ok),
    }
}
