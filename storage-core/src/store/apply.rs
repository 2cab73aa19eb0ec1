//! Applying an archive to a layer that exists: staged whole, then exchanged.
//!
//! The layer is as before until one rename, and wholly changed after it. An intent with the new record lets the next writer
//! finish what a kill left between the rename and the record.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use super::Store;
use super::import::{Content, Filled};
use super::intent::Intent;
use super::layers::{Layer, LayerTable};
use super::mounts::MountTable;
use super::records::Record;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use crate::driver::{Plan, Start};
use crate::error::{Error, Kind, Result};
use crate::lockfile::LastWrite;
use crate::locks::{ThreadKey, World};
use crate::task::Task;

impl Store {
    /// Applies `archive`, compressed or not, to the layer called `wanted`. Returns the size of the uncompressed archive.
    ///
    /// * The digests and sizes of the archive become the layer's, when the layer held nothing of its own before; a layer that
    ///   held something has none afterwards, because no archive describes it any more.
    /// * Fails with [`Kind::LayerUsedByContainer`] when the layer or one above it is mounted, with [`Kind::Changed`] when the
    ///   layer was changed or written to by somebody else meanwhile. On any failure before the exchange, SIGKILL included,
    ///   the layer's content is as before; on one after it the layer is wholly changed, and the next writer saves what is
    ///   left to save.
    pub fn apply_diff(&self, key: &mut ThreadKey, wanted: &str, archive: impl Read + Send, task: &Task) -> Result<i64> {
        let _purpose = crate::record::purpose("apply diff");
        let (before, staged) = {
            let (guard, mut key) = self.layers.read(key, &self.wait)?;
            let record = Arc::clone(guard.table().resolve(wanted, "apply diff")?);
            let (mounts, _key) = self.mounts.read(&mut key, &self.wait)?;
            check_unmounted(guard.table(), mounts.table(), &record.id)?;
            let layer = self.layer_ref(guard.table(), &record)?;
            let shared = guard.shared();
            let driver = self.gate.shared(&shared)?;
            let untouched = record.diff_digest.is_empty() && driver.is_untouched(&layer)?;
            let mark = Mark::of(driver.write_mark(&layer.id, layer.home)?, mounts.last_write()?);
            let mut plan = Plan::new(Start::Replacing { layer, empty: untouched });
            plan.mount_label.clone_from(&record.mount_label);
            plan.maps = record.maps();
            let staged = driver.begin(&plan)?;
            (Before { record, untouched, mark }, staged)
        };
        let mut filled = self.fill(staged, Content::Archive(Box::new(archive)), task)?;
        task.step(0, 0)?;
        let mut rubbish = Rubbish::of(self);
        let (mut guard, mut key) = self.write_layers(key, &mut rubbish)?;
        let now = guard.table().get(&before.record.id).filter(|now| before.record.same_content(now)).cloned();
        let now = now.ok_or_else(|| before.changed())?;
        let (mounts, _key) = self.mounts.read(&mut key, &self.wait)?;
        check_unmounted(guard.table(), mounts.table(), &now.id)?;
        let layer = self.layer_ref(guard.table(), &now)?;
        let mark =
            Mark::of(self.gate.shared(&guard.shared())?.write_mark(&layer.id, layer.home)?, mounts.last_write()?);
        if mark != before.mark || (before.untouched && !self.gate.shared(&guard.shared())?.is_untouched(&layer)?) {
            return Err(before.changed());
        }
        let mut after = Layer { raw: None, ..Layer::clone(&now) };
        let size = filled.describe(&mut after);
        if !before.untouched {
            forget_archive(&mut after, &now);
        }
        self.exchange(&mut guard, &mut filled, &now, &after, &mut rubbish)?;
        Ok(size)
    }

    fn exchange(
        &self,
        guard: &mut LayersGuard<'_>,
        filled: &mut Filled,
        now: &Layer,
        after: &Layer,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let id = after.layer_id()?;
        if !now.diff_digest.is_empty() || !now.toc_digest.is_empty() {
            // The archive that the record names describes the former content only. It goes first, so that at no moment a
            // record promises what the layer no longer is.
            let mut described = now.clone();
            forget_archive(&mut described, now);
            Self::save_content(guard, &described)?;
            guard.world().unlink(&self.tar_split_path(&now.id))?;
        }
        if let Some(tar_split) = filled.tar_split.as_ref().filter(|_| !after.diff_digest.is_empty()) {
            guard.world().unlink(&self.next_tar_split())?;
            tar_split.place.move_out(&tar_split.name, &self.next_tar_split())?;
        }
        let identity = filled.staged.identity()?;
        self.say(&Intent::Replace { id: after.id.clone(), identity, record: after.to_json()? })?;
        let exchanged = self.gate.exclusive(&mut guard.exclusive())?.replace(&mut *filled.staged, &id);
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
        Self::save_content(guard, after)?;
        self.flush_names(guard)?;
        self.said_and_done()
    }
}

/// What a layer was when an archive began to be applied to it.
struct Before {
    record: Arc<Layer>,
    untouched: bool,
    mark: Mark,
}

impl Before {
    fn changed(&self) -> Error {
        Error::new(Kind::Changed, "apply diff")
            .detail(format!("layer {} was changed, written to or deleted by somebody else meanwhile", self.record.id))
            .remedy("look at it and try again")
    }
}

/// What tells that somebody may have written to the layer: the driver's mark, or, where it has none, that anything at all was
/// mounted or released since.
#[derive(PartialEq)]
enum Mark {
    Layer(String),
    Any(LastWrite),
}

impl Mark {
    fn of(mark: Option<String>, mounts: LastWrite) -> Self {
        mark.map_or(Mark::Any(mounts), Mark::Layer)
    }
}

/// No archive describes the content of this layer; its owners are those of `former` besides its own.
fn forget_archive(layer: &mut Layer, former: &Layer) {
    layer.compressed_digest.clear();
    layer.compressed_size = 0;
    layer.diff_digest.clear();
    layer.toc_digest.clear();
    layer.diff_size = 0;
    layer.compression = 0;
    let merged =
        |own: &[u32], more: &[u32]| own.iter().chain(more).copied().collect::<BTreeSet<_>>().into_iter().collect();
    layer.uids = merged(&layer.uids, &former.uids);
    layer.gids = merged(&layer.gids, &former.gids);
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
