//! Applying an archive to a layer that exists: staged whole, then exchanged.
//!
//! The layer is as before until one rename, and wholly changed after it. An intent with the new record lets the next writer
//! finish what a kill left between the rename and the record.

use std::io::Read;

use super::Store;
use super::import::{Content, Filled};
use super::intent::Intent;
use super::layers::{Layer, LayerTable};
use super::mounts::MountTable;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use crate::driver::{Plan, Start};
use crate::error::{Error, Kind, Result};
use crate::locks::{ThreadKey, World};
use crate::task::Task;

impl Store {
    /// Applies `archive`, compressed or not, to the layer called `wanted`. Returns the size of the uncompressed archive.
    ///
    /// * The digests and sizes of the archive become the layer's, when the layer held nothing of its own before; a layer that
    ///   held something has none afterwards, because no archive describes it any more.
    /// * Fails with [`Kind::LayerUsedByContainer`] when the layer or one above it is mounted, with [`Kind::Changed`] when the
    ///   layer was changed by somebody else meanwhile. On any failure, SIGKILL included, the layer is as before.
    pub fn apply_diff(&self, key: &mut ThreadKey, wanted: &str, archive: impl Read + Send, task: &Task) -> Result<i64> {
        let (before, untouched, staged) = {
            let (guard, _key) = self.layers.read(key, &self.wait)?;
            let record = guard.table().resolve(wanted, "apply diff")?;
            check_unmounted(guard.table(), &*self.mounts.snapshot()?, &record.id)?;
            let layer = guard.table().layer_ref(record)?;
            let shared = guard.shared();
            let driver = self.gate.shared(&shared)?;
            let untouched = record.diff_digest.is_empty() && driver.is_untouched(&layer)?;
            let mut plan = Plan::new(Start::Replacing { layer, empty: untouched });
            plan.mount_label.clone_from(&record.mount_label);
            (record.clone(), untouched, driver.begin(&plan)?)
        };
        let filled = self.fill(staged, Content::Archive(Box::new(archive)), task)?;
        let mut after = Layer { raw: None, ..Layer::clone(&before) };
        let size = filled.describe(&mut after);
        if !untouched {
            forget_archive(&mut after);
        }
        task.step(0, 0)?;
        let mut rubbish = Rubbish::of(self);
        let (mut guard, mut key) = self.write_layers(key, &mut rubbish)?;
        let same = guard.table().get(&before.id).is_some_and(|now| before.same_content(now));
        if !same {
            return Err(changed_meanwhile(&before));
        }
        let (mounts, _key) = self.mounts.read(&mut key, &self.wait)?;
        check_unmounted(guard.table(), mounts.table(), &before.id)?;
        self.exchange(&mut guard, filled, &after, &mut rubbish)?;
        Ok(size)
    }

    fn exchange(
        &self,
        guard: &mut LayersGuard<'_>,
        filled: Filled,
        after: &Layer,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let id = after.layer_id()?;
        if let Some(tar_split) = filled.tar_split.as_ref().filter(|_| !after.diff_digest.is_empty()) {
            guard.world().unlink(&self.next_tar_split())?;
            tar_split.place.move_out(&tar_split.name, &self.next_tar_split())?;
        }
        self.say(&Intent::Replace {
            id: after.id.clone(),
            identity: filled.staged.identity()?,
            record: after.to_json()?,
        })?;
        let exchanged = self.gate.exclusive(&mut guard.exclusive())?.replace(filled.staged, &id);
        match exchanged {
            Ok(former) => rubbish.add(former),
            Err(error) => {
                guard.world().unlink(&self.next_tar_split())?;
                self.said_and_done()?;
                return Err(error);
            }
        }
        // From here on the layer is the new one: a failure leaves the intent, and the next writer finishes.
        self.adopt_tar_split(after)?;
        Self::save_replaced(guard, after)?;
        self.flush_names(guard)?;
        self.said_and_done()
    }
}

/// No archive describes the content of this layer.
fn forget_archive(layer: &mut Layer) {
    layer.compressed_digest.clear();
    layer.compressed_size = 0;
    layer.diff_digest.clear();
    layer.diff_size = 0;
    layer.compression = 0;
}

/// Fails when `id` or a layer above it is mounted: what lies below a mounted overlay must not change.
fn check_unmounted(layers: &LayerTable, mounts: &MountTable, id: &str) -> Result<()> {
    for mount in mounts.iter() {
        let mut above = Some(mount.id.as_str());
        let mut steps = 0;
        while let Some(layer) = above.filter(|_| steps <= layers.len()) {
            if layer == id {
                return Err(Error::new(Kind::LayerUsedByContainer, "apply diff")
                    .at(&mount.path)
                    .detail(format!("layer {} is mounted", mount.id))
                    .remedy("unmount it first"));
            }
            above = layers.get(layer).map(|record| record.parent.as_str()).filter(|parent| !parent.is_empty());
            steps += 1;
        }
    }
    Ok(())
}

fn changed_meanwhile(layer: &Layer) -> Error {
    Error::new(Kind::Changed, "apply diff")
        .detail(format!("layer {} was changed or deleted by somebody else meanwhile", layer.id))
        .remedy("look at it and try again")
}
