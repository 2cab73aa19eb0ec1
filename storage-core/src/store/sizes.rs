//! How much images and containers hold.

use std::collections::BTreeSet;
use std::path::Path;

use super::records::Record;
use super::{Item, Location, Store};
use crate::error::{Kind, Result};
use crate::fs::{Usage, open_directory, usage};
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::task::Task;

impl Store {
    /// The size of the image called `wanted`, in bytes: its layers, copies with other owners among them, and its data. A layer
    /// whose size no record tells is measured. Fails with [`Kind::ImageUnknown`] or [`Kind::LayerUnknown`].
    pub fn image_size(&self, key: &mut ThreadKey, wanted: &str, task: &Task) -> Result<u64> {
        let _purpose = crate::record::purpose("image size");
        let sight = self.sight()?;
        let (number, image) = sight.image(wanted, "size image")?;
        let mut counted = BTreeSet::new();
        let mut size = 0;
        for top in image.top_layers() {
            let mut next = Some(top.to_owned()).filter(|layer| !layer.is_empty());
            if top != image.layer && sight.layer_by_id(top).is_none() {
                // A copy that was deleted without a word in the image.
                continue;
            }
            while let Some(id) = next.filter(|id| counted.insert(id.clone())) {
                let layer = sight.layer(&id, "size image")?.1;
                size += match u64::try_from(layer.diff_size) {
                    Ok(known) if !layer.diff_digest.is_empty() => known,
                    _ => self.diff_size(key, &id, None, task)?,
                };
                next = Some(layer.parent.clone()).filter(|parent| !parent.is_empty());
            }
        }
        Ok(size + self.data_total(number, &Item::Image(std::sync::Arc::clone(image)))?)
    }

    /// The size of the container called `wanted`, in bytes: what it wrote, its data, and its directories. Fails with
    /// [`Kind::ContainerUnknown`] or [`Kind::LayerUnknown`].
    pub fn container_size(&self, key: &mut ThreadKey, wanted: &str, task: &Task) -> Result<u64> {
        let _purpose = crate::record::purpose("container size");
        let sight = self.sight()?;
        let container = std::sync::Arc::clone(sight.container(wanted, "size container")?);
        let written = self.diff_size(key, &container.layer, None, task)?;
        let data = self.data_total(0, &Item::Container(std::sync::Arc::clone(&container)))?;
        let id = LayerId::from_store(container.id())?;
        let mut directories = 0;
        for home in [self.places.containers(), self.places.run_containers()] {
            directories += tree_size(&home.join(id.as_str()).join(super::big_data::USERDATA), task)?;
        }
        Ok(written + data + directories)
    }

    fn data_total(&self, number: usize, item: &Item) -> Result<u64> {
        let sizes = match item {
            Item::Image(image) => &image.big_data_sizes,
            Item::Container(container) => &container.big_data_sizes,
            Item::Layer(_) => return Ok(0),
        };
        let mut total = 0;
        for name in item.data_names() {
            total += match sizes.get(name).and_then(|size| u64::try_from(*size).ok()) {
                Some(size) => size,
                None => self.open_item_data(number, item, name)?.metadata().map_or(0, |metadata| metadata.len()),
            };
        }
        Ok(total)
    }

    /// Where images that are made now have their records.
    pub fn image_location(&self) -> Location {
        self.places.images_go_to()
    }
}

/// The bytes below `path`; nothing there is nothing.
fn tree_size(path: &Path, task: &Task) -> Result<u64> {
    match open_directory(path) {
        Ok(root) => usage(root, path, task).map(|Usage { bytes, .. }| bytes),
        Err(error) if error.kind() == Kind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}
