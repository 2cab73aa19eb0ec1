//! Who uses a layer besides other layers: images and containers.
//!
//! Asked by a holder of `layers.lock`, and answered by snapshots: who makes an image or a container on a layer holds that lock
//! too, in both implementations, so nobody starts to use a layer while it is held exclusively.

use std::collections::HashSet;
use std::sync::Arc;

use super::layers::{Layer, LayerTable};
use super::{Container, Image, ItemKind, Store};
use crate::error::{Error, Kind, Result};

impl Store {
    /// All images that can be made or deleted here.
    fn images_here(&self) -> Result<Vec<Arc<Image>>> {
        Ok(self.images.snapshot()?.iter().cloned().collect())
    }

    /// All containers on the root, those of a transient store (or, in one, of an ordinary store) among them.
    pub(super) fn all_containers(&self) -> Result<Vec<Arc<Container>>> {
        let (own, other) = (self.containers.snapshot()?, self.other_containers.snapshot()?);
        Ok(own.iter().chain(other.iter()).cloned().collect())
    }

    /// Layers that this store has no record of and that are somebody's all the same: those of a transient store, whose records
    /// are in the run root, and those that images and containers name.
    pub(super) fn layers_used_elsewhere(&self) -> Result<HashSet<String>> {
        let mut used: HashSet<String> = self.other_layers.snapshot()?.iter().map(|layer| layer.id.clone()).collect();
        for image in self.images_here()? {
            used.extend(image.top_layers().map(str::to_owned));
        }
        used.extend(self.all_containers()?.iter().map(|container| container.layer.clone()));
        Ok(used)
    }

    /// Fails when an image has `layer` as its top layer, or a container as its own.
    pub(super) fn check_unused(&self, layer: &Layer) -> Result<()> {
        let used = |kind, what: &str, id: &str| {
            Err(Error::new(kind, "delete layer")
                .detail(format!("layer {} is used by {what} {id}", layer.id))
                .remedy(format!("delete the {what} first")))
        };
        let images = self.images_here()?;
        if let Some(image) = images.iter().find(|image| image.layer == layer.id) {
            return used(Kind::LayerUsedByImage, "image", &image.id);
        }
        match self.all_containers()?.iter().find(|container| container.layer == layer.id) {
            Some(container) => used(Kind::LayerUsedByContainer, "container", &container.id),
            None => Ok(()),
        }
    }

    /// Fails when `layer` is a container's own: nothing can be put on what is still being written.
    pub(super) fn check_not_container(&self, layer: &Layer) -> Result<()> {
        match self.all_containers()?.iter().find(|container| container.layer == layer.id) {
            None => Ok(()),
            Some(container) => Err(Error::new(Kind::ParentIsContainer, "create layer")
                .detail(format!("layer {} is container {}'s", layer.id, container.id))
                .remedy("choose a parent that no container writes to")),
        }
    }

    /// Whether there is an image or a container of this id.
    pub(super) fn is_there(&self, kind: ItemKind, id: &str) -> Result<bool> {
        Ok(match kind {
            ItemKind::Layer => self.layers()?.get(id).is_some(),
            ItemKind::Image => self.images.snapshot()?.get(id).is_some(),
            ItemKind::Container => self.all_containers()?.iter().any(|container| container.id == id),
        })
    }

    /// Those of `layers`, which are given from the top down, that have a record and nobody needs; none when their owner is
    /// `there` still. The layers are held for writing.
    pub(super) fn unneeded(&self, table: &LayerTable, layers: &[String], there: bool) -> Result<Vec<String>> {
        let mut going: Vec<String> = Vec::new();
        if there {
            return Ok(going);
        }
        let used = self.layers_used_elsewhere()?;
        let leased = self.leased_layers()?;
        for id in layers.iter().filter(|id| table.get(id).is_some()) {
            let has_children = table.children(id).any(|child| !going.contains(&child.id));
            if !used.contains(id) && !leased.contains(id) && !has_children {
                going.push(id.clone());
            }
        }
        Ok(going)
    }
}
