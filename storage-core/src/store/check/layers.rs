//! Layers, quickly: parents, places, links, and the files beside the records.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::finding::{Finding, FindingKind};
use super::places::is_kept_beside;
use super::{AT_ONCE, Check};
use crate::driver::{Cure, Flaw, Home, LayerRef, SharedAccess};
use crate::error::{Kind, OsContext, Result};
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::store::big_data::file_name;
use crate::store::layers::LayerTable;
use crate::store::{Layer, Store};

impl Check<'_> {
    /// Looks at every layer of the store itself.
    pub(super) fn layers(&mut self, key: &mut ThreadKey) -> Result<()> {
        let ids: Vec<String> = self.store.layers()?.iter().map(|layer| layer.id.clone()).collect();
        for ids in ids.chunks(AT_ONCE) {
            self.task.step(0, ids.len() as u64)?;
            let mut found = Vec::new();
            let (guard, _key) = self.store.layers.read(key, &self.store.wait)?;
            let shared = guard.shared();
            let driver = self.store.gate.shared(&shared)?;
            for layer in ids.iter().filter_map(|id| guard.table().get(id)) {
                self.report.layers += 1;
                found.extend(self.store.look_at_layer(guard.table(), &driver, layer)?);
            }
            drop(guard);
            self.report.findings.extend(found);
        }
        Ok(())
    }

    /// Layers that no image and no container stands on, if they are old enough that nobody is about to use them.
    pub(super) fn unreferenced(&mut self, key: &mut ThreadKey) -> Result<()> {
        let sight = self.store.consistent_sight(key)?;
        let Some(own) = sight.layers.first() else { return Ok(()) };
        let understood = sight.images.iter().all(|table| table.damaged().is_empty())
            && sight.containers.damaged().is_empty()
            && self.store.other_containers.snapshot()?.damaged().is_empty();
        let understood = understood && !self.store.is_additional_uncertain();
        if !understood || is_kept_beside(self.store.images.files()) || self.store.are_containers_kept_beside() {
            // A record that can't be understood, or that `repair` took out, may be that of who uses a layer.
            return Ok(());
        }
        let mut used: HashSet<&str> = HashSet::new();
        let containers = self.store.all_containers()?;
        let tops = sight.images.iter().flat_map(|table| table.iter()).flat_map(|image| image.top_layers());
        for top in tops.chain(containers.iter().map(|container| container.layer.as_str())) {
            let mut next = Some(top);
            while let Some(id) = next.filter(|id| !id.is_empty() && used.insert(id)) {
                next = sight.layer_by_id(id).map(|(_, layer)| layer.parent.as_str());
            }
        }
        let old = |layer: &&Arc<Layer>| is_older(&layer.created, self.options.unreferenced_for);
        let unused: Vec<_> = own.iter().filter(|layer| !used.contains(layer.id.as_str())).filter(old).collect();
        for layer in unused {
            self.say(Finding::of_layer(FindingKind::LayerUnreferenced, &layer.id));
        }
        Ok(())
    }
}

/// Whether something was made longer than `limit` ago. What has no date that can be read is old.
fn is_older(created: &str, limit: Duration) -> bool {
    let Ok(made) = OffsetDateTime::parse(created, &Rfc3339) else { return true };
    OffsetDateTime::now_utc() - made >= limit
}

impl Store {
    /// What is wrong with a layer, as far as it shows without reading its content. The layers are held.
    pub(in crate::store) fn look_at_layer(
        &self,
        table: &LayerTable,
        driver: &SharedAccess<'_, '_>,
        layer: &Layer,
    ) -> Result<Vec<Finding>> {
        let finding = |kind| Finding::of_layer(kind, &layer.id);
        let Ok(id) = layer.layer_id() else {
            return Ok(vec![finding(FindingKind::PlaceMissing).detail("its id can't be the name of a file")]);
        };
        let mut found = Vec::new();
        let reference = match self.layer_ref(table, layer) {
            Ok(reference) => Some(reference),
            Err(error) => {
                let kind = self.unless_uncertain(FindingKind::ParentMissing);
                found.push(finding(kind).because(&error));
                None
            }
        };
        match place_of(driver, &id, layer.home(), reference.as_ref()) {
            Ok(None) => found.push(match self.gate.mount_point(&id, layer.home()) {
                Ok(path) => finding(FindingKind::PlaceMissing).at(path),
                Err(error) => finding(FindingKind::PlaceMissing).because(&error),
            }),
            Ok(Some(flaws)) => found.extend(flaws.into_iter().map(|flaw| {
                let kind = if flaw.cure == Cure::Heal { FindingKind::LayerLinks } else { FindingKind::LayerBroken };
                finding(kind).at(flaw.path).detail(flaw.detail)
            })),
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::LockMisuse) => return Err(error),
            // That something can't be read doesn't say that it is lost.
            Err(error) => found.push(finding(FindingKind::NotExamined).because(&error)),
        }
        let split = self.tar_split_path(id.as_str());
        if !layer.diff_digest.is_empty() {
            match size_of(&split) {
                Ok(None | Some(0)) => found.push(finding(FindingKind::TarSplitMissing).at(split)),
                Ok(_) => {}
                Err(error) => found.push(finding(FindingKind::NotExamined).because(&error)),
            }
        }
        for name in &layer.big_data_names {
            let path = file_name(name).map(|file| self.data_dir(id.as_str()).join(file));
            let missing = finding(FindingKind::LayerDataMissing).detail(format!("{name:?}"));
            match path.as_ref().map(|path| size_of(path)) {
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => found.push(path.map_or(missing.clone(), |path| missing.at(path))),
                Ok(Err(error)) => found.push(finding(FindingKind::NotExamined).because(&error)),
                Err(_) => found.push(missing),
            }
        }
        Ok(found)
    }

    /// Whether what was found wrong with a layer is told of what its record still is. Takes no lock.
    pub(super) fn is_still(&self, layer: &Layer) -> Result<bool> {
        match self.layers() {
            Ok(table) => Ok(table.get(&layer.id).is_some_and(|now| layer.same_content(now))),
            Err(error) if error.kind() == Kind::Corrupt => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// What is wrong with the place of a layer; none where it has no place.
fn place_of(
    driver: &SharedAccess<'_, '_>,
    id: &LayerId,
    home: Home,
    layer: Option<&LayerRef>,
) -> Result<Option<Vec<Flaw>>> {
    if !driver.exists(id, home)? {
        return Ok(None);
    }
    layer.map_or_else(|| Ok(Vec::new()), |layer| driver.examine(layer)).map(Some)
}

/// The size of a regular file; none where there is no such file. Fails where that can't be told.
pub(super) fn size_of(path: &Path) -> Result<Option<u64>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).os("lstat", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_date_is_old_and_what_was_just_made_is_not() {
        let day = Duration::from_hours(24);
        assert!(is_older("", day) && is_older("0001-01-01T00:00:00Z", day));
        assert!(!is_older(&crate::store::records::json::now(), day));
        assert!(is_older(&crate::store::records::json::now(), Duration::ZERO));
    }
}
