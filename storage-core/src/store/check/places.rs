//! What lies in the store and belongs to nobody.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::{Finding, FindingKind};
use super::{Check, Readable};
use crate::error::{OsContext, Result};
use crate::fs::TempDirs;
use crate::locks::ThreadKey;
use crate::store::Store;

/// A half-written file is somebody's while it is younger than this.
const YOUNG: Duration = Duration::from_mins(1);
/// How often, and with what pauses, a place that seems to be nobody's is looked at.
const LOOKS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

impl Check<'_> {
    /// Looks for places, files and directories that no record knows. What needs records to be told is told only when all of
    /// them can be read.
    pub(super) fn places(&mut self, key: &mut ThreadKey, readable: Readable) -> Result<()> {
        let store = self.store;
        if readable.users {
            let found = {
                let (layers, mut key) = store.layers.read(key, &store.wait)?;
                let (_images, mut key) = store.images.read(&mut key, &store.wait)?;
                let (_containers, _key) = store.containers.read(&mut key, &store.wait)?;
                let shared = layers.shared();
                let driver = store.gate.shared(&shared)?;
                let known = store.known_layers(layers.table())?;
                let strays = driver.strays()?;
                let mut found: Vec<Finding> =
                    strays.iter().map(|p| Finding::of_store(FindingKind::StaleLink, p)).collect();
                if let Some(known) = known {
                    for home in store.places.homes() {
                        for name in driver.list(home)?.iter().filter(|name| !known.contains(*name)) {
                            found.push(Finding::of_layer(FindingKind::LayerUnaccounted, name));
                        }
                    }
                    found.extend(
                        store.orphan_parts(&known)?.iter().map(|p| Finding::of_store(FindingKind::OrphanParts, p)),
                    );
                }
                let orphans = store.orphan_directories()?;
                found.extend(orphans.iter().map(|p| Finding::of_store(FindingKind::OrphanDirectory, p)));
                for path in [store.intent_path(), store.mounting_path()] {
                    // Who says it holds the layers exclusively until it is done.
                    if path.symlink_metadata().is_ok_and(|metadata| metadata.len() > 0) {
                        found.push(Finding::of_store(FindingKind::LeftIntent, &path));
                    }
                }
                found
            };
            self.report.findings.extend(found);
        }
        for path in store.left_files()? {
            self.say(Finding::of_store(FindingKind::LeftFile, &path));
        }
        for path in self.still_stale()? {
            self.say(Finding::of_store(FindingKind::StaleTemporary, &path));
        }
        Ok(())
    }

    /// Places of staging and trash that were nobody's when the check began, and are so still.
    ///
    /// A deletion leaves its trash to the next writer when somebody reads the layer, as this check may do: what became stale
    /// meanwhile, or is being taken away, is nobody's fault.
    fn still_stale(&self) -> Result<BTreeSet<PathBuf>> {
        let mut stale = self.stale.clone();
        for _ in 0..LOOKS {
            if stale.is_empty() {
                break;
            }
            std::thread::sleep(PAUSE);
            let now = self.store.stale_places()?;
            stale.retain(|path| now.contains(path));
        }
        Ok(stale)
    }
}

impl Store {
    /// Places of staging and trash that nobody holds.
    pub(super) fn stale_places(&self) -> Result<BTreeSet<PathBuf>> {
        let mut stale = BTreeSet::new();
        for places in self.gate.staging_homes().into_iter().map(TempDirs::new).chain(self.all_side_places()) {
            stale.extend(places.stale()?);
        }
        Ok(stale)
    }

    /// Every id that means a layer here: those of records of any sort, of records that can't be understood, and of layers that
    /// others use. None when a record that can't be understood doesn't even tell its id: then nothing may be taken for an
    /// orphan.
    pub(in crate::store) fn known_layers(
        &self,
        table: &crate::store::layers::LayerTable,
    ) -> Result<Option<HashSet<String>>> {
        let mut known = self.layers_used_elsewhere()?;
        known.extend(table.records().map(|layer| layer.id.clone()));
        let other = self.other_layers.snapshot()?;
        for damaged in table.damaged().iter().chain(other.damaged()) {
            match damaged.id() {
                Some(id) => known.insert(id),
                None => return Ok(None),
            };
        }
        let emptied = self.layers.files().any(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.len() == 0));
        Ok((!emptied).then_some(known))
    }

    /// Tar-split files and directories of big data of layers that are not `known`.
    pub(in crate::store) fn orphan_parts(&self, known: &HashSet<String>) -> Result<Vec<PathBuf>> {
        let home = self.layers_home();
        let mut found = Vec::new();
        for (name, path) in names_in(&home)? {
            let id = name.strip_suffix(".tar-split.gz").unwrap_or(&name);
            if is_made_for_an_item(id) && !known.contains(id) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Directories of images and containers that no record knows, in the graph root, the image store and the run root. The
    /// images and the containers are held. None is told while a record can't be understood.
    pub(in crate::store) fn orphan_directories(&self) -> Result<Vec<PathBuf>> {
        use crate::store::records::Location;
        let images = self.images.snapshot()?;
        let (own, other) = (self.containers.snapshot()?, self.other_containers.snapshot()?);
        let empty = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.len() == 0);
        let mut found = Vec::new();
        if images.damaged().is_empty() && !self.images.files().any(empty) {
            let places = &self.places;
            let mut homes =
                vec![places.images(Location::Stable), places.images(places.images_go_to()), places.run_images()];
            homes.dedup();
            for home in homes {
                let orphans = names_in(&home)?
                    .into_iter()
                    .filter(|(name, path)| is_made_for_an_item(name) && path.is_dir() && images.get(name).is_none());
                found.extend(orphans.map(|(_, path)| path));
            }
        }
        let understood = own.damaged().is_empty() && other.damaged().is_empty();
        let mut files = self.places.container_files();
        files.extend(self.places.other_container_files());
        if understood && !files.iter().any(|path| empty(path)) {
            for home in [self.places.containers(), self.places.run_containers()] {
                let orphans = names_in(&home)?.into_iter().filter(|(name, path)| {
                    is_made_for_an_item(name) && path.is_dir() && own.get(name).is_none() && other.get(name).is_none()
                });
                found.extend(orphans.map(|(_, path)| path));
            }
        }
        Ok(found)
    }

    /// Half-written files of records, of either implementation, and leases that processes left when they died.
    pub(in crate::store) fn left_files(&self) -> Result<Vec<PathBuf>> {
        use crate::store::records::Location;
        let mut homes =
            vec![self.layers_home(), self.run_home(), self.places.containers(), self.places.run_containers()];
        homes.extend([Location::Stable, self.places.images_go_to()].map(|location| self.places.images(location)));
        homes.sort();
        homes.dedup();
        let mut found = Vec::new();
        for home in homes {
            for (name, path) in names_in(&home)? {
                if name.starts_with(".tmp-") && name.contains(".json") && !is_young(&path) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}

/// Whether a name is one that layers, images and containers are given: 64 hexadecimal digits.
pub(in crate::store) fn is_made_for_an_item(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names in a directory, sorted; none where there is no directory.
fn names_in(home: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).os("read directory", home),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.os("read directory", home)?;
        if let Some(name) = entry.file_name().to_str() {
            found.push((name.to_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn is_young(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age < YOUNG))
}
