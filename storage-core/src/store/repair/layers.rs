//! Layers whose parts can be made again: links, and what gives their archives back.

use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use super::Repair;
use super::salvage::is_same;
use crate::archive::{Expected, Ignore, Ingest, Whiteouts, ingest};
use crate::driver::{Cure, Start};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::TempDir;
use crate::locks::ThreadKey;
use crate::store::Layer;
use crate::store::check::{Finding, examine_archive};
use crate::store::layers::LayerTable;
use crate::store::records::Edit;
use crate::store::rubbish::Rubbish;
use crate::task::Task;

impl Repair<'_> {
    /// Makes links and directories again. A layer of which something is lost all the same is to be deleted.
    pub(super) fn links(&mut self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<()> {
        let mut ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
        ids.dedup();
        // A layer knows the names of those that it stands on: from the top down, so that none is given a new one.
        let table = self.store.layers()?;
        ids.sort_by_cached_key(|id| std::cmp::Reverse(depth(&table, id)));
        // A layer may lack what another one, which is mended later, tells.
        for _ in 0..2 {
            for id in &ids {
                let done = self.heal(key, id);
                self.note(done)?;
            }
        }
        let healed = findings.iter().filter(|finding| !self.doomed.contains(&finding.id));
        self.report.repaired.extend(healed.map(|&finding| finding.clone()));
        Ok(())
    }

    fn heal(&mut self, key: &mut ThreadKey, id: &str) -> Result<()> {
        let store = self.store;
        let mut rubbish = Rubbish::of(store);
        let (mut guard, _key) = store.write_layers(key, &mut rubbish)?;
        let Some(layer) = guard.table().get(id).cloned() else { return Ok(()) };
        let reference = store.layer_ref(guard.table(), &layer)?;
        let healed = store.gate.exclusive(&mut guard.exclusive())?.heal(&reference);
        let flaws = store.gate.shared(&guard.shared())?.examine(&reference)?;
        if flaws.iter().any(|flaw| flaw.cure == Cure::Loss) {
            self.doomed.insert(id.to_owned());
        } else {
            self.doomed.remove(id);
        }
        if flaws.is_empty() { Ok(()) } else { healed }
    }

    /// Makes what gives archives back again, from the layer's files; a layer of which that doesn't give the archive that its
    /// record names is to be deleted.
    pub(super) fn archives(&mut self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<()> {
        let mut ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
        ids.dedup();
        for id in ids {
            let layer = self.store.layers()?.get(id).cloned();
            if layer.map(|layer| self.store.is_mapped_copy(&layer)).transpose()?.unwrap_or_default() {
                // Its archive is that of the layer that it is a copy of: its own files never give it.
                let error = Error::new(Kind::NotSupported, "make tar-split")
                    .detail(format!("layer {id} is a copy of an image's layer with other owners"))
                    .remedy("`delete-layer` the copy once no container uses it: the next container makes it again");
                self.note(Err(error))?;
                continue;
            }
            match self.pack_again(key, id) {
                Ok(true) => {
                    let done = findings.iter().filter(|finding| finding.id == id);
                    self.report.repaired.extend(done.map(|&finding| finding.clone()));
                }
                Ok(false) => drop(self.doomed.insert(id.to_owned())),
                Err(error) => self.note(Err(error))?,
            }
        }
        Ok(())
    }

    /// Whether the layer's files, packed, are the archive that its record names; then its tar-split is in place again.
    fn pack_again(&mut self, key: &mut ThreadKey, id: &str) -> Result<bool> {
        let store = self.store;
        let (layer, comparison, mut staged) = {
            let (guard, _key) = store.layers.read(key, &store.wait)?;
            let Some(layer) = guard.table().get(id).cloned() else { return Ok(true) };
            let reference = store.layer_ref(guard.table(), &layer)?;
            let shared = guard.shared();
            let driver = store.gate.shared(&shared)?;
            let parent = guard.table().get(&layer.parent).map(|parent| parent.maps()).unwrap_or_default();
            let maps = crate::driver::OwnerMaps { layer: layer.maps(), base: parent, ..Default::default() };
            let comparison = driver.compare(&reference, reference.parent_ref().as_ref(), &maps)?;
            // A scratch place of the driver's, which is thrown away: the archive is read as any other is.
            let plan = crate::driver::Plan::new(Start::OnParent(reference.parent_ref()));
            (layer, comparison, driver.begin(&plan)?)
        };
        staged.fill(self.task)?;
        let place = store.side_places().create()?;
        let path = place.path().join("tar-split");
        let made = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&path).os("open", &path)?;
        let root = staged.root()?;
        let options = Ingest { tar_split: Some(Box::new(BufWriter::new(made))), ..Ingest::new(staged.whiteouts()) };
        let (reader, writer) = std::io::pipe().os("pipe", "")?;
        let task = self.task;
        let ingested = std::thread::scope(|scope| {
            let packing = scope.spawn(move || {
                let mut out = BufWriter::with_capacity(1 << 18, writer);
                let packed = comparison.pack(&mut out, &mut || comparison.check(), &Task::new("pack archive"));
                packed.and_then(|()| out.flush().os("write", "the archive"))
            });
            let ingested = ingest(reader, std::os::fd::AsFd::as_fd(&root), options, task);
            let packed = packing.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "pack archive")));
            ingested.and_then(|ingested| packed.map(|()| ingested))
        })?;
        drop(staged);
        if ingested.diff_digest != layer.diff_digest {
            return Ok(false);
        }
        self.put_tar_split(key, &layer, &place)?;
        Ok(true)
    }

    fn put_tar_split(&mut self, key: &mut ThreadKey, layer: &Arc<Layer>, place: &TempDir) -> Result<()> {
        let store = self.store;
        let mut rubbish = Rubbish::of(store);
        let (guard, _key) = store.write_layers(key, &mut rubbish)?;
        let target = store.tar_split_path(&layer.id);
        if is_same(layer, guard.table().get(&layer.id)) {
            place.check()?;
            crate::fs::atomic::rename_over(&place.path().join("tar-split"), &target)?;
        }
        Ok(())
    }

    /// Tells the digests of layers whose records were made again, by putting their archives together.
    pub(super) fn recall_digests(&mut self, key: &mut ThreadKey) -> Result<()> {
        let store = self.store;
        let nameless: Vec<Arc<Layer>> =
            store.layers()?.iter().filter(|layer| layer.diff_digest.is_empty()).cloned().collect();
        let mut told = Vec::new();
        for layer in nameless {
            let (split, files) = {
                let (guard, _key) = store.layers.read(key, &store.wait)?;
                let Some(split) = store.open_tar_split(0, &layer.id)? else { continue };
                let reference = store.layer_ref(guard.table(), &layer)?;
                let shared = guard.shared();
                (split, store.gate.shared(&shared)?.own_files(&reference)?)
            };
            let alone = (store.gate.whiteouts() == Whiteouts::Apply).then(|| Expected::new(Whiteouts::Apply));
            match examine_archive(&split, &files, alone, self.task) {
                Ok((archive, tree)) if archive.losses.is_empty() => {
                    // Where a layer's own files stand in its whole tree, nothing tells whose child it was: then the archive
                    // describes the record only if there is nothing else in the tree.
                    let ignore = Ignore { owners: true, privileged: true };
                    let rest = tree.map(|tree| tree.differences(files.root(), ignore, self.task)).transpose()?;
                    if rest.is_none_or(|rest| rest.is_empty()) {
                        told.push((layer, archive));
                    }
                }
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                _ => {}
            }
        }
        let mut rubbish = Rubbish::of(store);
        let (mut guard, _key) = store.write_layers(key, &mut rubbish)?;
        let mut edit = Edit::of(guard.table());
        for (layer, archive) in &told {
            if is_same(layer, guard.table().get(&layer.id)) {
                edit.update(&layer.id, |layer| {
                    layer.diff_digest.clone_from(&archive.digest);
                    layer.diff_size = archive.size as i64;
                });
            }
        }
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }
}

/// On how many layers a layer stands.
fn depth(table: &LayerTable, id: &str) -> usize {
    let above = |id: &&str| table.get(id).map(|layer| layer.parent.as_str()).filter(|parent| !parent.is_empty());
    std::iter::successors(Some(id), above).take(table.len()).count()
}
