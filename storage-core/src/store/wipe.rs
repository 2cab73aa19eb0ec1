//! Deleting everything.

use super::Store;
use super::images::Deletion;
use crate::error::{Kind, Result};
use crate::locks::ThreadKey;
use crate::task::Task;

impl Store {
    /// Deletes every container, image and layer of this store; additional stores stay as they are. What others delete
    /// meanwhile is no failure. Stops at the first that can't be deleted, because it is in use or leased; `task` watches as in
    /// [`Store::delete_layer`].
    pub fn wipe(&self, key: &mut ThreadKey, task: &Task) -> Result<()> {
        let _purpose = crate::record::purpose("wipe");
        let gone = |result: Result<()>| match result {
            Err(error) if matches!(error.kind(), Kind::LayerUnknown | Kind::ImageUnknown | Kind::ContainerUnknown) => {
                Ok(())
            }
            other => other,
        };
        let containers: Vec<_> = self.containers.snapshot()?.iter().map(|container| container.id.clone()).collect();
        for container in containers {
            gone(self.delete_container(key, &container, task))?;
        }
        let images: Vec<_> = self.images.snapshot()?.iter().map(|image| image.id.clone()).collect();
        for image in images {
            gone(self.delete_image(key, &image, Deletion::Real, task).map(|_| ()))?;
        }
        // Children first: no layer comes before its parent in the order in which they are made.
        let mut layers: Vec<_> = self.layers()?.iter().map(|layer| layer.id.clone()).collect();
        layers.reverse();
        let mut left = layers.len() + 1;
        while layers.len() < left {
            left = layers.len();
            let mut refused = None;
            let mut kept = Vec::new();
            for layer in layers {
                match gone(self.delete_layer(key, &layer, task)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == Kind::LayerHasChildren => {
                        kept.push(layer);
                        refused = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            layers = kept;
            if let (Some(error), true) = (refused, layers.len() == left) {
                return Err(error);
            }
        }
        Ok(())
    }
}
