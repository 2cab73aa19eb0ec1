//! Who uses a layer besides other layers: images and containers.
//!
//! Asked by a holder of `layers.lock`, and answered by snapshots: who makes an image or a container on a layer holds that lock
//! too, in both implementations, so nobody starts to use a layer while it is held exclusively.

use std::collections::HashSet;
use std::sync::Arc;

use super::layers::{Layer, LayerTable};
use super::records::Damaged;
use super::{Container, Image, ItemKind, Store};
use crate::error::{Error, Kind, Result};
use crate::locks::counting::Counts;

impl Store {
    /// All images that can be made or deleted here.
    fn images_here(&self) -> Result<Vec<Arc<Image>>> {
        Ok(self.images.snapshot()?.records().cloned().collect())
    }

    /// All containers on the root, those of a transient store (or, in one, of an ordinary store) among them.
    pub(super) fn all_containers(&self) -> Result<Vec<Arc<Container>>> {
        let (own, other) = (self.containers.snapshot()?, self.other_containers.snapshot()?);
        Ok(own.records().chain(other.records()).cloned().collect())
    }

    /// Layers that this store has no record of and that are somebody's all the same: those of a transient store, whose records
    /// are in the run root, and those that images and containers name.
    pub(super) fn layers_used_elsewhere(&self) -> Result<HashSet<String>> {
        let mut used: HashSet<String> = self.other_layers.snapshot()?.iter().map(|layer| layer.id.clone()).collect();
        for image in self.images_here()? {
            used.extend(image.top_layers().map(str::to_owned));
        }
        used.extend(self.all_containers()?.iter().map(|container| container.layer.clone()));
        // A record that doesn't even tell what it refers to is no reason to know less of the others.
        let (images, containers) = (self.images.snapshot()?, self.containers.snapshot()?);
        let others = self.other_containers.snapshot()?;
        let hidden = images.damaged().iter().chain(containers.damaged()).chain(others.damaged());
        used.extend(hidden.filter_map(Damaged::references).flatten());
        Ok(used)
    }

    /// What the records refer to that can't be understood, of every kind and sort: it is in use, though nobody sees by whom.
    /// Fails with [`Kind::Corrupt`] when one of them doesn't tell.
    pub(super) fn hidden_references(&self) -> Result<HashSet<String>> {
        let mut all = self.layers()?.hidden_references()?;
        all.extend(self.other_layers.snapshot()?.hidden_references()?);
        all.extend(self.images.snapshot()?.hidden_references()?);
        all.extend(self.containers.snapshot()?.hidden_references()?);
        all.extend(self.other_containers.snapshot()?.hidden_references()?);
        Ok(all)
    }

    /// Fails when a record that can't be understood refers to `layer`.
    fn check_no_hidden_user(&self, layer: &Layer) -> Result<()> {
        let used = |kind, by: &str| {
            Err(Error::new(kind, "delete layer")
                .detail(format!("layer {} is used by {by} whose record can't be understood", layer.id))
                .remedy("`lamina repair` sets that record aside"))
        };
        let (layers, other) = (self.layers()?.hidden_references()?, self.other_layers.snapshot()?.hidden_references()?);
        if layers.contains(&layer.id) || other.contains(&layer.id) {
            return used(Kind::LayerHasChildren, "a layer");
        }
        if self.images.snapshot()?.hidden_references()?.contains(&layer.id) {
            return used(Kind::LayerUsedByImage, "an image");
        }
        if self.hidden_references()?.contains(&layer.id) {
            return used(Kind::LayerUsedByContainer, "a container");
        }
        Ok(())
    }

    /// Fails when an image has `layer` as its top layer, or a container as its own, or a record that can't be understood
    /// refers to it.
    pub(super) fn check_unused(&self, layer: &Layer) -> Result<()> {
        self.check_no_hidden_user(layer)?;
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

    /// Fails when the record of a container that can't be understood refers to `image`.
    pub(super) fn check_no_hidden_container(&self, image: &Image) -> Result<()> {
        let mut hidden = self.containers.snapshot()?.hidden_references()?;
        hidden.extend(self.other_containers.snapshot()?.hidden_references()?);
        if !hidden.contains(&image.id) {
            return Ok(());
        }
        Err(Error::new(Kind::ImageUsedByContainer, "delete image")
            .detail(format!("image {} is used by a container whose record can't be understood", image.id))
            .remedy("`lamina repair` sets that record aside"))
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
        if there {
            return Ok(Vec::new());
        }
        self.unneeded_but(table, layers, &self.leased_layers()?)
    }

    /// As [`Store::unneeded`] of an owner that is gone; `leased` are the layers that living processes lease.
    pub(super) fn unneeded_but(
        &self,
        table: &LayerTable,
        layers: &[String],
        leased: &HashSet<String>,
    ) -> Result<Vec<String>> {
        let mut going: Vec<String> = Vec::new();
        let used = self.layers_used_elsewhere()?;
        let mounts = self.mounts.snapshot()?;
        let hidden = self.hidden_references()?;
        for id in layers.iter().filter(|id| table.get(id).is_some()) {
            let has_children = table.children(id).any(|child| !going.contains(&child.id));
            let held = used.contains(id) || hidden.contains(id) || leased.contains(id) || mounts.count(id) > 0;
            if !held && !has_children {
                going.push(id.clone());
            }
        }
        Ok(going)
    }
}
