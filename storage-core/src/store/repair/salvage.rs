//! Files of records that can't be read: what stands before the break is saved, and layers are known again by their places.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::{Repair, check, side_path};
use crate::driver::{Home, SharedAccess};
use crate::error::{Kind, OsContext, Result};
use crate::ids::LayerId;
use crate::locks::counting::Counts;
use crate::locks::{MayTake, ThreadKey};
use crate::store::check::Finding;
use crate::store::kept::Kept;
use crate::store::records::{Damaged, Edit, Location, Salvaged, json, salvage};
use crate::store::rubbish::Rubbish;
use crate::store::{Container, Image, Layer, Store};

impl Repair<'_> {
    /// Makes the files of records readable again.
    pub(super) fn unreadable(&mut self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<()> {
        let store = self.store;
        let is = |path: &Path, mut files: Box<dyn Iterator<Item = &Path> + '_>| files.any(|file| file == path);
        let mut layers = false;
        let mut images = false;
        for path in findings.iter().filter_map(|finding| finding.path.as_deref()) {
            let done = if is(path, Box::new(store.layers.files())) {
                layers = true;
                self.salvage_layers(key)
            } else if is(path, Box::new(store.images.files())) {
                images = true;
                self.salvage_level::<Image>(key)
            } else if is(path, Box::new(store.containers.files())) {
                self.salvage_level::<Container>(key)
            } else {
                self.salvage_counts(key)
            };
            self.note(done)?;
        }
        if layers {
            let done = self.recall_digests(key);
            self.note(done)?;
        }
        if images {
            let done = self.recall_images(key);
            self.note(done)?;
        }
        self.report.repaired.extend(findings.iter().map(|&finding| finding.clone()));
        Ok(())
    }

    fn salvage_level<R: Kept>(&mut self, key: &mut ThreadKey) -> Result<()>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let store = self.store;
        let mut broken = Vec::new();
        let (mut guard, _key) = R::level(store).write_salvaging(key, &store.wait, |files| {
            let Salvaged { table, broken: found } = salvage::<R>(files);
            broken = found;
            Ok(table)
        })?;
        let files: Vec<PathBuf> = R::level(store).files().map(Path::to_path_buf).collect();
        let mut edit = Edit::of(guard.table());
        for number in broken {
            self.put_aside(files.get(number))?;
            edit.rewrite(Location::of_file(number));
        }
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }

    /// As [`Repair::salvage_level`]; every layer that has a place and no record any more gets one, under the same hold, so
    /// that no other process ever takes it for an orphan.
    fn salvage_layers(&mut self, key: &mut ThreadKey) -> Result<()> {
        let store = self.store;
        let _rubbish = Rubbish::of(store);
        let mut broken = Vec::new();
        let (mut guard, _key) = store.layers.write_salvaging(key, &store.wait, |files| {
            let Salvaged { table, broken: found } = salvage::<Layer>(files);
            broken = found;
            Ok(table)
        })?;
        let files: Vec<PathBuf> = store.layers.files().map(Path::to_path_buf).collect();
        let mut edit = Edit::of(guard.table());
        let made = {
            let shared = guard.shared();
            let known = guard.table().records().map(|layer| layer.id.clone());
            let damaged = guard.table().damaged().iter().filter_map(Damaged::id);
            let known: HashSet<String> = known.chain(damaged).chain(store.layers_of_others()?).collect();
            let broken: Vec<Location> = broken.iter().map(|number| Location::of_file(*number)).collect();
            store.recalled_layers(&store.gate.shared(&shared)?, &known, |home| lost_of(home, &broken))?
        };
        for number in &broken {
            self.put_aside(files.get(*number))?;
            edit.rewrite(Location::of_file(*number));
        }
        for layer in made {
            edit.push(layer);
        }
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }

    /// Makes records of those of `lost` that have a place and no record.
    pub(super) fn recall_layers(&mut self, key: &mut ThreadKey, lost: &BTreeSet<String>) -> Result<()> {
        let store = self.store;
        let mut rubbish = Rubbish::of(store);
        let (mut guard, _key) = store.write_layers(key, &mut rubbish)?;
        let made = {
            let known: HashSet<String> = guard.table().records().map(|layer| layer.id.clone()).collect();
            let shared = guard.shared();
            let everywhere = [Location::Stable, Location::ImageStore];
            store.recalled_layers(&store.gate.shared(&shared)?, &known, |home| lost_of(home, &everywhere))?
        };
        let mut edit = Edit::of(guard.table());
        for layer in made.into_iter().filter(|layer| lost.contains(&layer.id)) {
            edit.push(layer);
        }
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }

    /// Keeps a broken file under another name; the save that follows replaces it.
    fn put_aside(&mut self, path: Option<&PathBuf>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        let side = side_path(path);
        std::fs::hard_link(path, &side).os("link", path)?;
        self.report.kept.push(side);
        Ok(())
    }

    /// The counts are gone: what is mounted here counts once.
    fn salvage_counts(&mut self, key: &mut ThreadKey) -> Result<()> {
        use crate::store::mounts::MountTable;
        let store = self.store;
        let (layers, mut key) = store.layers.read(key, &store.wait)?;
        let (mut guard, _key) = store.mounts.write_salvaging(&mut key, &store.wait, |_| Ok(MountTable::default()))?;
        let mut table = MountTable::default();
        let shared = layers.shared();
        let driver = store.gate.shared(&shared)?;
        for layer in layers.table().iter() {
            let (Ok(id), home) = (layer.layer_id(), layer.home()) else { continue };
            let mounted = || match driver.is_mounted(&id, home) {
                // Below what covers the place it may be mounted.
                Err(error) if error.kind() == Kind::Busy => Ok(true),
                mounted => mounted,
            };
            if store.gate.has_kernel_mounts() && mounted()? {
                table = table.with_count(id.as_str(), &store.gate.mount_point(&id, home)?.to_string_lossy(), 1);
            }
        }
        let path = store.run_home().join("mountpoints.json");
        self.put_aside(Some(&path))?;
        guard.save(table, &[0])
    }
}

impl Store {
    /// The ids of layers whose records stand elsewhere on the same root.
    fn layers_of_others(&self) -> Result<Vec<String>> {
        Ok(self.other_layers.snapshot()?.iter().map(|layer| layer.id.clone()).collect())
    }

    /// Records of the layers that have a place and are not `known`, parents first, from what their places tell. `lost` tells
    /// where the records of a home were lost; of one that lost none nothing is known again.
    fn recalled_layers(
        &self,
        driver: &SharedAccess<'_, '_>,
        known: &HashSet<String>,
        lost: impl Fn(Home) -> Option<Location>,
    ) -> Result<Vec<Layer>> {
        let mut waiting: BTreeMap<LayerId, Recalled> = BTreeMap::new();
        let homes = self.places.homes().filter_map(|home| Some((home, lost(home)?)));
        let mut named = Vec::new();
        for (home, location) in homes {
            named.extend(driver.list(home)?.into_iter().map(|name| (name, home, location)));
        }
        for (name, home, location) in named {
            if !check::is_made_for_an_item(&name) || known.contains(&name) {
                continue;
            }
            let id = LayerId::from_store(&name)?;
            // One whose parent can't be told stays without a record: a record would show a wrong tree.
            if let Ok(parent) = driver.recall_parent(&id, home) {
                waiting.entry(id).or_insert(Recalled { parent, home, location });
            }
        }
        let mut made: Vec<Layer> = Vec::new();
        loop {
            let is_ready = |parent: &Option<LayerId>| {
                let Some(parent) = parent else { return true };
                known.contains(parent.as_str()) || made.iter().any(|layer| layer.id == parent.as_str())
            };
            let ready: Vec<LayerId> =
                waiting.iter().filter(|(_, recalled)| is_ready(&recalled.parent)).map(|(id, _)| id.clone()).collect();
            if ready.is_empty() {
                return Ok(made);
            }
            for id in ready {
                let Some(Recalled { parent, home, location }) = waiting.remove(&id) else { continue };
                made.push(Layer {
                    parent: parent.map(|parent| parent.to_string()).unwrap_or_default(),
                    location,
                    created: self.time_of_place(&id, home),
                    big_data_names: data_keys(&self.data_dir(id.as_str())),
                    id: id.to_string(),
                    ..Layer::default()
                });
            }
        }
    }

    /// When the place of a layer was last changed: nothing else tells when it was made.
    fn time_of_place(&self, id: &LayerId, home: Home) -> String {
        let split = self.tar_split_path(id.as_str()).symlink_metadata().ok();
        let place = split.or_else(|| self.gate.mount_point(id, home).ok()?.symlink_metadata().ok());
        let changed = |metadata: Metadata| OffsetDateTime::from_unix_timestamp(metadata.mtime()).ok();
        place.and_then(changed).map_or_else(json::now, json::written)
    }
}

/// What the place of a layer tells.
struct Recalled {
    parent: Option<LayerId>,
    home: Home,
    location: Location,
}

/// Which of the `broken` files of records held those of the layers in `home`.
fn lost_of(home: Home, broken: &[Location]) -> Option<Location> {
    let stands_in = |location: &&Location| (**location == Location::ImageStore) == (home == Home::ImageStore);
    broken.iter().filter(stands_in).min().copied()
}

/// The keys of the data in a directory.
pub(super) fn data_keys(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut keys: Vec<String> =
        files.filter_map(|entry| crate::store::big_data::key_of(entry.file_name().to_str()?)).collect();
    keys.sort();
    keys
}

/// Whether `one` and `other` are the same record.
pub(super) fn is_same(one: &Arc<Layer>, other: Option<&Arc<Layer>>) -> bool {
    other.is_some_and(|other| one.same_content(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_known_again_only_in_the_home_whose_records_are_lost() {
        use Location::{ImageStore, Stable, Volatile};
        for (broken, own, image_store) in [
            (&[][..], None, None),
            (&[Volatile, Stable], Some(Stable), None),
            (&[Volatile], Some(Volatile), None),
            (&[ImageStore], None, Some(ImageStore)),
            (&[Volatile, ImageStore], Some(Volatile), Some(ImageStore)),
        ] {
            assert_eq!(lost_of(Home::Own, broken), own, "{broken:?}");
            assert_eq!(lost_of(Home::ImageStore, broken), image_store, "{broken:?}");
        }
    }
}
