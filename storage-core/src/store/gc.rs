//! Garbage collection: what no record knows and no living process uses.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::check::is_made_for_an_item;
use super::kept::Kept;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use super::{Container, Image, Store};
use crate::error::{Kind, OsContext, Result};
use crate::fs::TempDirs;
use crate::locks::level::Layers;
use crate::locks::{Key, ThreadKey};
use crate::task::Task;

/// What `gc` reclaimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Layers without a record, of which something was found and thrown away.
    pub orphans: u64,
    /// Directories of images and containers without a record.
    pub directories: u64,
    /// Links of layers without a place.
    pub links: u64,
    /// Half-written files that nobody writes.
    pub files: u64,
    /// Mounts that nobody counted and nobody used.
    pub mounts: u64,
    /// Counts of what was mounted nowhere.
    pub counts: u64,
    /// Places of staging and trash deleted.
    pub reclaimed: u64,
    /// Places and mounts that are in use, or could not be taken away.
    pub left: u64,
    /// Whether orphans were left because records can't be understood, so that nobody knows whose they are.
    pub uncertain: bool,
}

impl Store {
    /// Reclaims what no living process uses: parts of layers, images and containers that have no record, stale links, staging,
    /// trash, and mounts that nobody counts. A mount that is in use is never taken away.
    ///
    /// Holds `layers.lock`, then `images.lock` and `containers.lock`, exclusively for a moment, to finish what a dead writer began
    /// and to rename orphans into trash. Only names that are made for layers, images and containers, 64 hexadecimal digits,
    /// are taken for orphans, and what could not be removed before. Layers that a transient store keeps its records of in
    /// the run root, and those of images and containers, are known. Where a record can't be understood, or a file of records is
    /// empty, nothing that it may have told of is an orphan.
    pub fn gc(&self, key: &mut ThreadKey, task: &Task) -> Result<GcReport> {
        let _purpose = crate::record::purpose("gc");
        let mut report = GcReport::default();
        (report.mounts, report.counts, report.left) = self.settle_mounts(key)?;
        {
            let mut rubbish = Rubbish::of(self).watched_by(task);
            let (mut guard, mut key) = self.write_layers(key, &mut rubbish)?;
            // Asking who leases layers forgets leases of the dead.
            self.leased_layers()?;
            let mut stuck = Vec::new();
            let orphans = self.orphans(&guard)?;
            report.uncertain = orphans.is_none();
            for id in orphans.into_iter().flatten() {
                match self.discard_unknown(&mut guard, &id, &mut rubbish) {
                    Ok(()) => report.orphans += 1,
                    Err(error) if error.kind() == Kind::LockMisuse => return Err(error),
                    Err(_) => stuck.push(id),
                }
            }
            report.left += stuck.len() as u64;
            if !report.uncertain {
                self.note(stuck)?;
            }
            report.links = self.gate.exclusive(&mut guard.exclusive())?.remove_strays()?;
            self.collect_directories(&mut key, &mut report, &mut rubbish)?;
        }
        let deadline = Instant::now() + Duration::from_hours(1);
        let swept = self.gate.sweep(deadline, task)?;
        report.reclaimed = swept.reclaimed;
        report.left += swept.left;
        for places in self.all_side_places() {
            let (reclaimed, left) = places.sweep(deadline, task)?;
            report.reclaimed += reclaimed;
            report.left += left;
        }
        Ok(report)
    }

    /// Takes away directories of images and containers without a record, and files that only holders of these locks write.
    fn collect_directories(
        &self,
        key: &mut Key<'_, Layers>,
        report: &mut GcReport,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let (_images, mut key) = Image::write(self, key, rubbish)?;
        let (_containers, _key) = Container::write(self, &mut key, rubbish)?;
        for path in self.orphan_directories()? {
            let Some(home) = path.parent() else { continue };
            match TempDirs::new(home.join("tmp")).trash(&path) {
                Ok(trash) => {
                    rubbish.add(Box::new(trash));
                    report.directories += 1;
                }
                Err(_) => report.left += 1,
            }
        }
        for path in self.left_files()? {
            std::fs::remove_file(&path).os("unlink", &path)?;
            report.files += 1;
        }
        Ok(())
    }

    /// Layers of which there is a tree, a tar-split or big data, and no record. Incomplete records were dealt with before. None
    /// when that can't be told.
    fn orphans(&self, guard: &LayersGuard<'_>) -> Result<Option<BTreeSet<String>>> {
        let Some(known) = self.known_layers(guard.table())? else { return Ok(None) };
        let mut places = Vec::new();
        for home in self.places.homes() {
            places.extend(self.gate.shared(&guard.shared())?.list(home)?);
        }
        let places = places.into_iter().filter(|name| is_made_for_an_item(name));
        let parts = self.orphan_parts(&known)?;
        let ids = parts.iter().filter_map(|path| id_of_part(path));
        let all = places.chain(ids).chain(self.kept_in_mind()?);
        Ok(Some(all.filter(|name| !known.contains(name)).collect()))
    }
}

fn id_of_part(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".tar-split.gz").unwrap_or(name).to_owned())
}
