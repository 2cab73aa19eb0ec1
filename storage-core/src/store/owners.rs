//! The owners of the directories above a mount that its maps can't express.

use super::Store;
use crate::error::{Error, Kind, Result};
use crate::idmap::{Maps, ParentOwners, parent_owners};
use std::path::Path;

impl Store {
    /// The owners of the directories above the mount of the layer called `wanted` that its maps can't express; none for a
    /// layer without maps. Takes no lock. Fails with [`Kind::LayerNotMounted`].
    pub fn layer_parent_owners(&self, wanted: &str) -> Result<ParentOwners> {
        let layer = self.lookup(wanted)?;
        self.owners_above(&layer.id, &layer.maps())
    }

    /// As [`Store::layer_parent_owners`], of the layer of the container called `wanted`, and what the maps can't express with
    /// which the container sees it. Fails with [`Kind::ContainerUnknown`].
    pub fn container_parent_owners(&self, wanted: &str) -> Result<ParentOwners> {
        let containers = self.containers.snapshot()?;
        let container = containers.resolve(wanted, "find parent owners")?;
        self.owners_above(&container.layer, &container.maps())
    }

    fn owners_above(&self, layer: &str, maps: &Maps) -> Result<ParentOwners> {
        if maps.is_empty() {
            return Ok(ParentOwners::default());
        }
        let mounts = self.mounts.snapshot()?;
        let mount = mounts.get(layer).ok_or_else(|| {
            Error::new(Kind::LayerNotMounted, "find parent owners")
                .detail(format!("layer {layer}"))
                .remedy("mount it first")
        })?;
        parent_owners(Path::new(&mount.path), maps)
    }
}
