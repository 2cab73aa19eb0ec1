//! Garbage collection: what no record knows and no living process uses.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Store;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use crate::error::{Kind, OsContext, Result};
use crate::locks::ThreadKey;
use crate::task::Task;

/// What `gc` reclaimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Layers without a record, of which something was found and thrown away.
    pub orphans: u64,
    /// Places of staging and trash deleted.
    pub reclaimed: u64,
    /// Places that are in use, or could not be deleted.
    pub left: u64,
}

impl Store {
    /// Reclaims what no living process uses: parts of layers that have no record, staging, and trash. Never takes a mount
    /// away: what is mounted is left.
    ///
    /// Holds `layers.lock` exclusively for a moment, to finish what a dead writer began and to rename orphans into trash.
    /// Only names that are made for layers, 64 hexadecimal digits, are taken for orphans, and what could not be removed before.
    /// Layers that a transient store keeps its records of in the run root, and those of images and containers, are known.
    pub fn gc(&self, key: &mut ThreadKey, task: &Task) -> Result<GcReport> {
        let mut report = GcReport::default();
        {
            let mut rubbish = Rubbish::of(self).watched_by(task);
            let (mut guard, _key) = self.write_layers(key, &mut rubbish)?;
            let mut stuck = Vec::new();
            for id in self.orphans(&guard)? {
                match self.discard_unknown(&mut guard, &id, &mut rubbish) {
                    Ok(()) => report.orphans += 1,
                    Err(error) if error.kind() == Kind::LockMisuse => return Err(error),
                    Err(_) => stuck.push(id),
                }
            }
            report.left += stuck.len() as u64;
            self.note(stuck)?;
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

    /// Layers of which there is a tree, a tar-split or big data, and no record. Incomplete records were dealt with before.
    fn orphans(&self, guard: &LayersGuard<'_>) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for home in self.places.homes() {
            names.extend(self.gate.shared(&guard.shared())?.list(home)?);
        }
        let home = self.layers_home();
        for entry in std::fs::read_dir(&home).os("read directory", &home)? {
            let name = entry.os("read directory", &home)?.file_name();
            let Some(name) = name.to_str() else { continue };
            names.insert(name.strip_suffix(".tar-split.gz").unwrap_or(name).to_owned());
        }
        let elsewhere = self.layers_used_elsewhere()?;
        let known = |name: &str| guard.table().records().any(|layer| layer.id == name) || elsewhere.contains(name);
        let made_for_a_layer =
            |name: &String| name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let noted = self.kept_in_mind()?;
        Ok(names.into_iter().filter(made_for_a_layer).chain(noted).filter(|name| !known(name)).collect())
    }
}
