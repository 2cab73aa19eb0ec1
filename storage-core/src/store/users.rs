//! Who uses a layer besides other layers: images and containers of the reference on the same root.
//!
//! Their records are read by snapshot, without their locks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Store;
use super::layers::Layer;
use crate::error::{Error, Kind, Result};
use crate::locks::{Kernel, World};

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    id: String,
    layer: String,
    #[serde(rename = "mapped-layers")]
    mapped_layers: Option<Vec<String>>,
}

impl Store {
    fn users(paths: &[PathBuf]) -> Result<Vec<User>> {
        let mut users = Vec::new();
        for path in paths {
            let Some((bytes, _)) = Kernel::new().read(path)? else { continue };
            if bytes.is_empty() && is_volatile(path) {
                continue;
            }
            let more: Option<Vec<User>> = serde_json::from_slice(&bytes).map_err(|source| {
                Error::new(Kind::Corrupt, "look for users of a layer")
                    .at(path)
                    .detail(source.to_string())
                    .remedy("restore the file: while it can't be read, no layer can be known to be unused")
            })?;
            users.extend(more.unwrap_or_default());
        }
        Ok(users)
    }

    fn images(&self) -> Result<Vec<User>> {
        Self::users(&[self.graph_root.join(format!("{}-images/images.json", self.driver_name))])
    }

    fn containers(&self) -> Result<Vec<User>> {
        let directory = format!("{}-containers", self.driver_name);
        let file = |root: &PathBuf, name: &str| root.join(&directory).join(name);
        Self::users(&[
            file(&self.graph_root, "containers.json"),
            file(&self.graph_root, "volatile-containers.json"),
            file(&self.run_root, "containers.json"),
            file(&self.run_root, "volatile-containers.json"),
        ])
    }

    /// Layers that this store has no record of and that are somebody's all the same: those of a transient store, whose records
    /// are in the run root, and those that images and containers name.
    pub(super) fn layers_used_elsewhere(&self) -> Result<HashSet<String>> {
        let transient = Self::users(&[self.run_home().join("volatile-layers.json")])?;
        let mut used: HashSet<String> = transient.into_iter().map(|layer| layer.id).collect();
        for user in self.images()?.into_iter().chain(self.containers()?) {
            used.insert(user.layer);
            used.extend(user.mapped_layers.into_iter().flatten());
        }
        Ok(used)
    }

    /// Fails when an image or a container uses `layer`.
    pub(super) fn check_unused(&self, layer: &Layer) -> Result<()> {
        let uses =
            |user: &User| user.layer == layer.id || user.mapped_layers.iter().flatten().any(|id| *id == layer.id);
        let used = |kind, what: &str, user: &User| {
            Err(Error::new(kind, "delete layer")
                .detail(format!("layer {} is used by {what} {}", layer.id, user.id))
                .remedy(format!("delete the {what} first")))
        };
        if let Some(image) = self.images()?.iter().find(|user| uses(user)) {
            return used(Kind::LayerUsedByImage, "image", image);
        }
        match self.containers()?.iter().find(|user| uses(user)) {
            Some(container) => used(Kind::LayerUsedByContainer, "container", container),
            None => Ok(()),
        }
    }

    /// Fails when `layer` is a container's own: nothing can be put on what is still being written.
    pub(super) fn check_not_container(&self, layer: &Layer) -> Result<()> {
        match self.containers()?.iter().find(|container| container.layer == layer.id) {
            None => Ok(()),
            Some(container) => Err(Error::new(Kind::LayerUsedByContainer, "create layer")
                .detail(format!(
                    "layer {} is container {}'s: would-be parent layer is a container",
                    layer.id, container.id
                ))
                .remedy("choose a parent that no container writes to")),
        }
    }

    /// Fails when there are images or containers on the root.
    pub(super) fn check_layers_only(&self, operation: &'static str) -> Result<()> {
        if self.images()?.is_empty() && self.containers()?.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::NotSupported, operation)
            .at(&self.graph_root)
            .detail("there are images or containers, which this version can't delete")
            .remedy("delete them first with the engine that made them"))
    }
}

/// Whether a file is written without a flush, so that a loss of power may leave it empty.
fn is_volatile(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("volatile-"))
}
