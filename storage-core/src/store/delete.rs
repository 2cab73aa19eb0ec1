//! Deleting layers: the record first, then the parts into trash, then, without a lock, the trash.

use super::intent::Intent;
use super::kept::Kept;
use super::layers::Layer;
use super::mounting::Others;
use super::records::Edit;
use super::recovery::{LayersGuard, PartsOf};
use super::rubbish::Rubbish;
use super::{Image, Store};
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::changes::forget;
use crate::locks::level::Layers;
use crate::locks::{Key, ThreadKey};
use crate::task::Task;

impl Store {
    /// Deletes the layer called `wanted`. Mounts of it that are left are taken away first, as the reference does.
    ///
    /// Constant work under the locks; the tree is deleted after they are released, which `task` watches: when it is cancelled
    /// then, the layer is gone all the same, and the next writer or `gc` deletes the rest. Fails with [`Kind::LayerHasChildren`],
    /// [`Kind::LayerUsedByImage`] or [`Kind::LayerUsedByContainer`]; then nothing has changed.
    pub fn delete_layer(&self, key: &mut ThreadKey, wanted: &str, task: &Task) -> Result<()> {
        let _purpose = crate::record::purpose("delete layer");
        let mut rubbish = Rubbish::of(self).watched_by(task);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut guard, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let layer =
            guard.table().resolve(wanted, "delete layer").map_err(|unknown| self.or_read_only(unknown, wanted))?;
        let layer = layer.clone();
        let children: Vec<_> = guard.table().children(&layer.id).map(|child| child.id.clone()).collect();
        if !children.is_empty() {
            return Err(Error::new(Kind::LayerHasChildren, "delete layer")
                .detail(format!("layer {} is used by [{}]", layer.id, children.join(" ")))
                .remedy("delete those first"));
        }
        self.check_unused(&layer)?;
        if self.leased_layers()?.contains(&layer.id) {
            return Err(Error::new(Kind::Busy, "delete layer")
                .detail(format!("layer {} is leased by a process that is about to use it", layer.id))
                .remedy("try again when that is done"));
        }
        self.delete_known(&mut guard, &mut key, std::slice::from_ref(&layer), &mut rubbish)?;
        self.forget_copy(&mut key, &layer.id, &mut rubbish)
    }

    /// Takes a layer that is gone out of the images whose top layer it was a copy of. The layers are held.
    fn forget_copy(&self, key: &mut Key<'_, Layers>, id: &str, rubbish: &mut Rubbish<'_>) -> Result<()> {
        let names = |image: &Image| image.mapped_layers.iter().any(|layer| layer == id);
        if !self.images.snapshot()?.iter().any(|image| names(image)) {
            return Ok(());
        }
        let (mut images, _key) = Image::write(self, key, rubbish)?;
        let owners: Vec<_> = images.table().iter().filter(|image| names(image)).map(|image| image.id.clone()).collect();
        let mut edit = Edit::of(images.table());
        for owner in owners {
            edit.update(&owner, |image| image.mapped_layers.retain(|layer| layer != id));
        }
        if edit.is_empty() { Ok(()) } else { self.save_edit(&mut images, edit) }
    }

    /// What keeps the layer called `wanted`, which this store hasn't, from being deleted.
    fn or_read_only(&self, unknown: Error, wanted: &str) -> Error {
        if !self.sight().is_ok_and(|sight| sight.layer(wanted, "delete layer").is_ok()) {
            return unknown;
        }
        Error::new(Kind::ReadOnlyStore, "delete layer")
            .detail(format!("layer {wanted:?} is in an additional store"))
            .remedy("delete it where it was made")
    }

    pub(super) fn delete_known(
        &self,
        guard: &mut LayersGuard<'_>,
        key: &mut Key<'_, Layers>,
        layers: &[std::sync::Arc<Layer>],
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let ids = layers.iter().map(|layer| layer.layer_id()).collect::<Result<Vec<LayerId>>>()?;
        self.unmount_for_deletion(guard, key, &ids, Others::Respected, rubbish)?;
        self.say_if_there_is_room(&Intent::Delete { ids: ids.iter().map(ToString::to_string).collect() })?;
        self.forget_layers(guard, &ids, rubbish)
    }

    /// Removes the records of layers that an intent names, then their parts, and says that it is done.
    pub(super) fn forget_layers(
        &self,
        guard: &mut LayersGuard<'_>,
        ids: &[LayerId],
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        forget(guard, &self.words(), &ids, &mut PartsOf { store: self, rubbish })
    }
}
