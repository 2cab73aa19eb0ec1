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
use crate::store::additional::Additional;

/// How the names go on of what `repair` takes out of a file of records.
pub(in crate::store) const KEPT: &str = ".damaged-lamina";
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
                    let kept_in_mind = store.kept_in_mind()?;
                    // What `gc` would never take is no layer: `lost+found`, or what somebody put there.
                    let is_taken = |name: &String| is_made_for_an_item(name) || kept_in_mind.contains(name);
                    for home in store.places.homes() {
                        let names = driver.list(home)?;
                        for name in names.iter().filter(|name| !known.contains(*name) && is_taken(name)) {
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
        for places in self.gate.staging_homes()?.into_iter().map(TempDirs::new).chain(self.all_side_places()) {
            stale.extend(places.stale()?);
        }
        Ok(stale)
    }

    /// Every id that means a layer here: those of records of any sort, of records that can't be understood, and of layers that
    /// others use. None when a record that can't be understood doesn't even tell its id, or when what `repair` took out of the
    /// records is still kept beside them: then nothing may be taken for an orphan.
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
        Ok((!emptied && !is_kept_beside(self.layers.files())).then_some(known))
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
    /// images and the containers are held. None is told while a record can't be understood, or is kept beside the others.
    pub(in crate::store) fn orphan_directories(&self) -> Result<Vec<PathBuf>> {
        use crate::store::records::Location;
        let images = self.images.snapshot()?;
        let (own, other) = (self.containers.snapshot()?, self.other_containers.snapshot()?);
        let empty = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.len() == 0);
        let mut found = Vec::new();
        let understood =
            images.damaged().is_empty() && !self.images.files().any(empty) && !is_kept_beside(self.images.files());
        // The reference makes directories for images that only an additional store has.
        let others: Result<Vec<_>> = self.additional.iter().map(Additional::images).collect();
        if let Some(others) = others.ok().filter(|others| understood && others.iter().all(|o| o.damaged().is_empty())) {
            let is_known = |name: &str| images.get(name).is_some() || others.iter().any(|o| o.get(name).is_some());
            let places = &self.places;
            let mut homes =
                vec![places.images(Location::Stable), places.images(places.images_go_to()), places.run_images()];
            homes.dedup();
            for home in homes {
                let orphans = names_in(&home)?
                    .into_iter()
                    .filter(|(name, path)| is_made_for_an_item(name) && path.is_dir() && !is_known(name));
                found.extend(orphans.map(|(_, path)| path));
            }
        }
        let understood = own.damaged().is_empty() && other.damaged().is_empty();
        let files = self.all_container_files();
        if understood && !files.iter().any(|path| empty(path)) && !self.are_containers_kept_beside() {
            for home in [self.places.containers(), self.places.run_containers()] {
                let orphans = names_in(&home)?.into_iter().filter(|(name, path)| {
                    is_made_for_an_item(name) && path.is_dir() && own.get(name).is_none() && other.get(name).is_none()
                });
                found.extend(orphans.map(|(_, path)| path));
            }
        }
        Ok(found)
    }

    fn all_container_files(&self) -> Vec<PathBuf> {
        let mut files = self.places.container_files();
        files.extend(self.places.other_container_files());
        files
    }

    /// Whether something that `repair` took out of the records of containers is kept beside them.
    pub(super) fn are_containers_kept_beside(&self) -> bool {
        is_kept_beside(self.all_container_files().iter().map(PathBuf::as_path))
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

/// Whether something that `repair` took out of one of these files of records is kept beside it: then nobody knows what else it
/// told of. Where that can't be seen, it may be so.
pub(in crate::store) fn is_kept_beside<'p>(mut files: impl Iterator<Item = &'p Path>) -> bool {
    files.any(|file| {
        let (Some(home), Some(name)) = (file.parent(), file.file_name()) else { return false };
        let kept = format!("{}{KEPT}", name.to_string_lossy());
        names_in(home).map_or(true, |names| names.iter().any(|(name, _)| name.starts_with(&kept)))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repair_keeps_beside_a_file_counts_until_it_is_removed() {
        let dir = tempfile::tempdir().expect("dir");
        let (images, layers) = (dir.path().join("images.json"), dir.path().join("layers.json"));
        let is_kept = |path: &Path| is_kept_beside(std::iter::once(path));
        assert!(!is_kept(&images) && !is_kept(&dir.path().join("none/images.json")) && !is_kept(Path::new("")));
        let kept = dir.path().join("images.json.damaged-lamina-1");
        std::fs::write(&kept, "[]").expect("write");
        assert!(is_kept(&images) && !is_kept(&layers), "it is told of another file's records");
        std::fs::remove_file(kept).expect("unlink");
        assert!(!is_kept(&images));
    }
}
