//! What a writer puts right before it does anything else.
//!
//! Only holders of the exclusive lock come here (readers never repair). What died half-way is known from the intent, from
//! records marked incomplete (the reference's way), or from a name that two layers have.

use super::intent::{Intent, Said};
use super::layers::{Layer, LayerTable};
use super::records::Edit;
use super::rubbish::Rubbish;
use super::{ItemKind, Store};
use crate::driver::Home;
use crate::error::{Kind, Result};
use crate::ids::LayerId;
use crate::locks::changes::{Parts, discard_unrecorded, finish_left, settle_incomplete};
use crate::locks::level::Layers;
use crate::locks::{Kernel, Key, MayTake, World, WriteGuard, temporary_path};

/// What belongs to the layers of a store beside their records.
#[derive(Debug)]
pub(super) struct PartsOf<'a, 's> {
    pub(super) store: &'a Store,
    pub(super) rubbish: &'a mut Rubbish<'s>,
}

impl Parts<LayerTable, Kernel> for PartsOf<'_, '_> {
    fn discard(&mut self, held: &mut LayersGuard<'_>, id: &str) -> Result<()> {
        LayerId::from_store(id).map_or(Ok(()), |id| self.store.discard_parts(held, &id, self.rubbish))
    }

    fn flush_names(&mut self, held: &LayersGuard<'_>) -> Result<()> {
        self.store.flush_names(held)
    }
}

/// A hold of the layers for writing, with nothing left to put right.
pub(super) type LayersGuard<'g> = WriteGuard<'g, Layers, LayerTable, Kernel>;

impl Store {
    /// Holds the layers for writing and puts right what a dead writer left. What is to be deleted goes into `rubbish`.
    pub(super) fn write_layers<'g, K: MayTake<Layers>>(
        &'g self,
        key: &'g mut K,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(LayersGuard<'g>, Key<'g, Layers>)> {
        let (mut guard, mut key) = self.layers.write(key, &self.wait)?;
        self.recover(&mut guard, rubbish)?;
        if self.mounting_words().last()?.is_some() {
            let _ = self.write_mounts(&mut guard, &mut key, rubbish)?;
        }
        Ok((guard, key))
    }

    fn recover(&self, guard: &mut LayersGuard<'_>, rubbish: &mut Rubbish<'_>) -> Result<()> {
        for path in self.replaced_files() {
            guard.world().unlink(&temporary_path(&path))?;
        }
        let finish = |guard: &mut LayersGuard<'_>, said: &Said| self.finish(guard, &said.intent, rubbish);
        if !finish_left(guard, &self.words(), finish)? {
            // It was put there for an intent that was never said.
            guard.world().unlink(&self.next_tar_split())?;
        }
        settle_incomplete(guard, &mut PartsOf { store: self, rubbish })?;
        self.end_dead_leases(guard, rubbish)?;
        guard.world().refill_reserve();
        Ok(())
    }

    /// Every file that only holders of the exclusive lock replace: what a dead one left half-written is nobody's.
    fn replaced_files(&self) -> impl Iterator<Item = std::path::PathBuf> {
        let counts = self.run_home().join("mountpoints.json");
        self.places.layer_files().into_iter().chain([self.intent_path(), self.mounting_path(), counts])
    }

    fn finish(&self, guard: &mut LayersGuard<'_>, intent: &Intent, rubbish: &mut Rubbish<'_>) -> Result<()> {
        let next = self.next_tar_split();
        match intent {
            Intent::Create { id } => self.discard_or_keep_in_mind(guard, std::slice::from_ref(id), rubbish),
            Intent::Delete { ids } => self.discard_or_keep_in_mind(guard, ids, rubbish),
            Intent::DeleteWith { owner, id, layers } => {
                let there = self.is_there(*owner, id);
                if matches!(there, Ok(false)) {
                    self.discard_data(*owner, id, rubbish)?;
                }
                let going = there.and_then(|there| self.unneeded(guard.table(), layers, there));
                self.forget_unneeded(guard, going, layers, rubbish)
            }
            Intent::CreateFor { owner, id, layer } => {
                // Of an image the record was there before, and stays.
                if *owner == ItemKind::Container && matches!(self.is_there(*owner, id), Ok(false)) {
                    self.discard_data(*owner, id, rubbish)?;
                }
                let layers = std::slice::from_ref(layer);
                let going = self.unneeded(guard.table(), layers, false);
                self.forget_unneeded(guard, going, layers, rubbish)
            }
            Intent::Replace { id, identity, record } => {
                let layer_id = LayerId::from_store(id)?;
                let home = guard.table().get(id).map_or(Home::Own, |layer| layer.home());
                if let Some(Ok(layer)) = guard.table().get(id).map(|layer| self.layer_ref(guard.table(), layer)) {
                    // A driver that can't exchange in one step puts back what it took away. Where that fails the layer
                    // stays without a tree, which keeps nobody from working with the others (R8).
                    let _ = self.gate.exclusive(&mut guard.exclusive())?.heal(&layer);
                }
                let shown = self.gate.shared(&guard.shared())?.identity(&layer_id, home);
                let exchanged = shown.is_ok_and(|shown| shown == *identity);
                match serde_json::from_str::<Layer>(record) {
                    // A record that has digests got them from somebody who came after.
                    Ok(record)
                        if exchanged
                            && record.id == *id
                            && guard.table().get(id).is_some_and(|now| now.diff_digest.is_empty()) =>
                    {
                        self.adopt_tar_split(&record)?;
                        Self::save_content(guard, &record)
                    }
                    _ => guard.world().unlink(&next),
                }
            }
        }
    }

    /// As [`Store::forget_left`]. While it can't be told who uses them, the layers that have a record stay; `check` names those
    /// that nobody uses.
    fn forget_unneeded(
        &self,
        guard: &mut LayersGuard<'_>,
        going: Result<Vec<String>>,
        layers: &[String],
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        match going {
            Ok(going) => self.forget_left(guard, &going, layers, rubbish),
            Err(error) if error.kind() == Kind::LockMisuse => Err(error),
            Err(_) => self.discard_or_keep_in_mind(guard, layers, rubbish),
        }
    }

    /// Removes the records of the layers in `going`, then the parts of all of `layers` that have no record.
    fn forget_left(
        &self,
        guard: &mut LayersGuard<'_>,
        going: &[String],
        layers: &[String],
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let mut edit = Edit::of(guard.table());
        for id in going {
            edit.remove(id);
        }
        if !edit.is_empty() {
            let (table, changed) = edit.finish();
            guard.save(table, &changed)?;
        }
        self.discard_or_keep_in_mind(guard, layers, rubbish)
    }

    /// Removes all parts of layers that have no record. What can't be removed is noted for `gc`, and keeps nobody from working
    /// (R8).
    fn discard_or_keep_in_mind(
        &self,
        guard: &mut LayersGuard<'_>,
        ids: &[String],
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let stuck = discard_unrecorded(guard, ids, &mut PartsOf { store: self, rubbish })?;
        if stuck.is_empty() { Ok(()) } else { self.keep_in_mind(&stuck) }
    }

    /// Removes all parts of a layer that has no record.
    pub(super) fn discard_unknown(
        &self,
        guard: &mut LayersGuard<'_>,
        id: &str,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        if guard.table().get(id).is_some() {
            return Ok(());
        }
        match LayerId::from_store(id) {
            Ok(id) => self.discard_parts(guard, &id, rubbish),
            // An id that can't be a file name has no parts.
            Err(_) => Ok(()),
        }
    }

    /// Takes away the tree, the tar-split and the big data of `id`, which has no record (any more).
    pub(super) fn discard_parts(
        &self,
        guard: &mut LayersGuard<'_>,
        id: &LayerId,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        for home in self.places.homes() {
            rubbish.add(self.gate.exclusive(&mut guard.exclusive())?.remove(id, home)?);
        }
        guard.world().unlink(&self.tar_split_path(id.as_str()))?;
        let data = self.data_dir(id.as_str());
        if std::fs::symlink_metadata(&data).is_ok_and(|metadata| metadata.is_dir()) {
            rubbish.add(Box::new(self.side_places().trash(&data)?));
        }
        Ok(())
    }

    /// Where the tar-split of a replaced layer waits for the exchange.
    pub(super) fn next_tar_split(&self) -> std::path::PathBuf {
        self.layers_home().join("lamina-next.tar-split.gz")
    }

    /// Puts the waiting tar-split in place; none waiting means that the layer has none now.
    pub(super) fn adopt_tar_split(&self, record: &Layer) -> Result<()> {
        let (next, target) = (self.next_tar_split(), self.tar_split_path(&record.id));
        match crate::fs::atomic::rename_over(&next, &target) {
            Err(error) if error.kind() == Kind::NotFound => {
                // Already adopted, or there is none: then the former one would describe the former content.
                if record.diff_digest.is_empty() { Kernel::new().unlink(&target) } else { Ok(()) }
            }
            other => other,
        }
    }

    /// Saves what `described` says of the layer's content. What else the record says stays: names, metadata, flags and data
    /// may have been changed by others meanwhile.
    pub(super) fn save_content(guard: &mut LayersGuard<'_>, described: &Layer) -> Result<()> {
        let mut edit = Edit::of(guard.table());
        edit.update(&described.id, |layer| {
            layer.compressed_digest.clone_from(&described.compressed_digest);
            layer.compressed_size = described.compressed_size;
            layer.diff_digest.clone_from(&described.diff_digest);
            layer.toc_digest.clone_from(&described.toc_digest);
            layer.diff_size = described.diff_size;
            layer.compression = described.compression;
            layer.uids.clone_from(&described.uids);
            layer.gids.clone_from(&described.gids);
        });
        let (table, changed) = edit.finish();
        guard.save(table, &changed)
    }
}
