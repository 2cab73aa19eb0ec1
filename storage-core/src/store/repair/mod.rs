//! Putting right what a check found, as gently as it can be done.
//!
//! What can be made again is made again: links and directories, files that give archives back, files of records. What can't is
//! deleted, with what can't be without it: layers with the layers on them, images on them, and containers only when that is
//! asked for. Whatever was a record and isn't one any more stays beside it:
//!
//! ```text
//! <driver>-layers/layers.json.damaged-lamina-1      the file as it was, or the records that were taken out of it
//! ```

mod deletion;
mod images;
mod layers;
mod records;
mod salvage;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::check::{CheckReport, Finding, FindingKind, Mend, Subject};
use super::gc::GcReport;
use super::{Store, check};
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;
use crate::task::Task;

/// What becomes of containers that can't be mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DamagedContainers {
    /// They stay, and so does what they stand on.
    #[default]
    Kept,
    /// They are deleted.
    Deleted,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// What was put right in place.
    pub repaired: Vec<Finding>,
    /// What was deleted: kind and id.
    pub deleted: Vec<(Subject, String)>,
    /// Files that hold what was taken out of records.
    pub kept: Vec<PathBuf>,
    /// What could not be mended, and why.
    pub failed: Vec<Error>,
    /// What was reclaimed, where there was something to reclaim.
    pub collected: Option<GcReport>,
}

/// A repair under way.
struct Repair<'a> {
    store: &'a Store,
    containers: DamagedContainers,
    task: &'a Task,
    report: RepairReport,
    /// Layers that only deletion mends.
    doomed: BTreeSet<String>,
}

impl Store {
    /// Mends what `found` tells of, or only what it tells of the layers, images and containers in `only`, where some are named.
    ///
    /// What was found is looked at again before anything is changed: it may have been mended meanwhile. Work that grows with the
    /// size of a layer is done without a lock; everything else holds the lock of its kind exclusively, a moment for each thing.
    /// What can't be mended is told in the report and keeps nothing else from being mended.
    pub fn repair(
        &self,
        key: &mut ThreadKey,
        found: &CheckReport,
        only: &[String],
        containers: DamagedContainers,
        task: &Task,
    ) -> Result<RepairReport> {
        let _purpose = crate::record::purpose("repair");
        let mut repair =
            Repair { store: self, containers, task, report: RepairReport::default(), doomed: BTreeSet::new() };
        let only = if only.is_empty() { BTreeSet::new() } else { self.with_chains(only) };
        let wanted = |finding: &&Finding| only.is_empty() || only.contains(&finding.id);
        let findings: Vec<&Finding> = found.findings.iter().filter(wanted).collect();
        let of = |kinds: &[FindingKind]| -> Vec<&Finding> {
            let own = findings.iter().filter(|finding| finding.store == 0 && kinds.contains(&finding.kind));
            own.copied().collect()
        };
        repair.unreadable(key, &of(&[FindingKind::RecordsUnreadable]))?;
        let records = [FindingKind::RecordDamaged, FindingKind::DuplicateId, FindingKind::DuplicateName];
        repair.contradictions(key, &of(&records))?;
        repair.links(key, &of(&[FindingKind::LayerLinks]))?;
        repair.archives(key, &of(&[FindingKind::TarSplitMissing]))?;
        let deadly: Vec<&Finding> = findings.iter().copied().filter(|finding| finding.mend() == Mend::Delete).collect();
        repair.delete(key, &deadly)?;
        // What was taken out of records may have told whose it is what looks like nobody's.
        let is_count =
            |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mountpoints"));
        let understood = repair.report.kept.iter().all(is_count);
        if understood && findings.iter().any(|finding| finding.mend() == Mend::Collect) {
            repair.report.collected = Some(self.gc(key, task)?);
        }
        Ok(repair.report)
    }
}

impl Store {
    /// The layers, images and containers with these ids, and the layers that they stand on.
    fn with_chains(&self, ids: &[String]) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = ids.iter().cloned().collect();
        // Where records can't be read, they are what is mended first.
        let Ok(sight) = self.sight() else { return all };
        let images = sight.images.iter().flat_map(|table| table.iter()).filter(|image| ids.contains(&image.id));
        let containers = sight.containers.iter().filter(|container| ids.contains(&container.id));
        let tops = images.flat_map(|image| image.top_layers());
        for top in tops.chain(containers.map(|container| container.layer.as_str())) {
            let mut seen = BTreeSet::new();
            let mut next = Some(top);
            while let Some(id) = next.filter(|id| !id.is_empty() && seen.insert(*id)) {
                all.insert(id.to_owned());
                next = sight.layer_by_id(id).map(|(_, layer)| layer.parent.as_str());
            }
        }
        all
    }
}

impl Repair<'_> {
    /// Notes what went wrong with one thing; what ends the whole repair is passed on.
    fn note(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::LockMisuse) => Err(error),
            Err(error) => {
                self.report.failed.push(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// A name beside `path` that nothing has yet, for what is taken out of it.
fn side_path(path: &std::path::Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbered = (1_u32..).map(|number| path.with_file_name(format!("{name}{}-{number}", check::KEPT)));
    let mut free = numbered.filter(|path| path.symlink_metadata().is_err());
    free.next().unwrap_or_else(|| path.with_file_name(format!("{name}{}", check::KEPT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_before_is_never_written_over() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("layers.json");
        for number in 1..4 {
            let side = side_path(&path);
            assert_eq!(side, dir.path().join(format!("layers.json.damaged-lamina-{number}")));
            std::fs::write(side, "x").expect("write");
        }
    }
}
