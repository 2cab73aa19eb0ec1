//! Deleting an image, with the layers that nobody else needs.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Image, ImageTable};
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::store::Store;
use crate::store::containers::Container;
use crate::store::intent::Intent;
use crate::store::item::ItemKind;
use crate::store::kept::Kept;
use crate::store::layers::LayerTable;
use crate::store::mounting::Others;
use crate::store::records::Edit;
use crate::store::rubbish::Rubbish;
use crate::task::Task;

/// Whether something is deleted, or only what would be is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted, with the layers that only it uses.
    Real,
    /// Its record and its data are deleted; its layers stay.
    RecordOnly,
    /// Nothing changes.
    Pretended,
}

impl Store {
    /// Deletes the image called `wanted` and the layers that only it uses, as far as `deletion` says so. Returns these, copies
    /// with other owners first, then from the top layer down.
    ///
    /// Holds `storage.lock` shared, `layers.lock` and `images.lock` exclusively; the trees are deleted after they are
    /// released, which `task` watches. The intent names the layers while the record goes, so that a death in between leaves
    /// nothing behind. Fails with [`Kind::ImageUsedByContainer`], with [`Kind::ReadOnlyStore`] for an image that only an
    /// additional store has.
    pub fn delete_image(
        &self,
        key: &mut ThreadKey,
        wanted: &str,
        deletion: Deletion,
        task: &Task,
    ) -> Result<Vec<String>> {
        let _purpose = crate::record::purpose("delete image");
        let mut rubbish = Rubbish::of(self).watched_by(task);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        // Who holds the layers keeps everybody from making or deleting an image on one.
        let images = self.images.snapshot()?;
        let image = Arc::clone(self.own_image(&images, wanted)?);
        let containers = self.all_containers()?;
        if let Some(container) = containers.iter().find(|container| container.image == image.id) {
            return Err(Error::new(Kind::ImageUsedByContainer, "delete image")
                .detail(format!("image {} is used by container {}", image.id, container.id))
                .remedy("delete the container first"));
        }
        self.check_no_hidden_container(&image)?;
        let going = match deletion {
            Deletion::RecordOnly => Vec::new(),
            Deletion::Real | Deletion::Pretended => {
                self.layers_of_one_image(layers.table(), &images, &containers, &image)?
            }
        };
        let names: Vec<String> = going.iter().map(ToString::to_string).collect();
        if deletion == Deletion::Pretended {
            return Ok(names);
        }
        self.unmount_for_deletion(&mut layers, &mut key, &going, Others::Respected, &mut rubbish)?;
        self.say_if_there_is_room(&Intent::DeleteWith {
            owner: ItemKind::Image,
            id: image.id.clone(),
            layers: names.clone(),
        })?;
        let flushed = {
            let (mut guard, _key) = Image::write(self, &mut key, &mut rubbish)?;
            let mut edit = Edit::of(guard.table());
            edit.remove(&image.id);
            let saved = self.save_edit(&mut guard, edit);
            if guard.table().get(&image.id).is_some() {
                self.said_and_done()?;
                return saved.map(|()| Vec::new());
            }
            self.discard_data(ItemKind::Image, &image.id, &mut rubbish)?;
            saved
        };
        self.forget_layers(&mut layers, &going, &mut rubbish)?;
        flushed.map(|()| names)
    }

    /// The image of this store that is called `wanted`.
    fn own_image<'t>(&self, images: &'t ImageTable, wanted: &str) -> Result<&'t Arc<Image>> {
        images.find(wanted).ok_or_else(|| {
            let elsewhere = self.sight().is_ok_and(|sight| sight.image(wanted, "delete image").is_ok());
            if !elsewhere {
                return images.unknown(wanted, "delete image");
            }
            Error::new(Kind::ReadOnlyStore, "delete image")
                .detail(format!("image {wanted:?} is in an additional store"))
                .remedy("delete it where it was made")
        })
    }

    /// The layers that go with `image`: its top layers, and those below, down to the first that somebody else needs.
    fn layers_of_one_image(
        &self,
        layers: &LayerTable,
        images: &ImageTable,
        containers: &[Arc<Container>],
        image: &Image,
    ) -> Result<Vec<LayerId>> {
        let mut needed: HashSet<&str> = containers.iter().map(|container| container.layer.as_str()).collect();
        needed.extend(images.records().filter(|other| other.id != image.id).flat_map(|other| other.top_layers()));
        let leased = self.leased_layers()?;
        let hidden = self.hidden_references()?;
        let mut going: Vec<LayerId> = Vec::new();
        // The records of this id in other files go as well.
        let all = images.records().filter(|other| other.id == image.id);
        let tops = all.flat_map(|image| image.mapped_layers.iter().chain(std::iter::once(&image.layer)));
        for top in tops {
            let mut next = layers.get(top);
            while let Some(layer) = next {
                let goes_already = |id: &str| going.iter().any(|gone| gone.as_str() == id);
                let kept = needed.contains(layer.id.as_str())
                    || leased.contains(&layer.id)
                    || hidden.contains(&layer.id)
                    || goes_already(&layer.id)
                    || layers.children(&layer.id).any(|child| !goes_already(&child.id));
                if kept {
                    break;
                }
                going.push(layer.layer_id()?);
                next = layers.get(&layer.parent);
            }
        }
        Ok(going)
    }
}
