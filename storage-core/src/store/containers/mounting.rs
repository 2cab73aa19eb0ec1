//! Mounting a container: its layer, in the way that its record says.

use std::path::PathBuf;

use super::Container;
use crate::driver::MountOptions;
use crate::error::Result;
use crate::locks::ThreadKey;
use crate::store::Store;

impl Store {
    /// Mounts the container called `wanted` and counts it. What `options` leave open, its record says: options, label,
    /// volatility. Locks and errors as [`Store::mount`]; fails with [`crate::Kind::ContainerUnknown`].
    pub fn mount_container(&self, key: &mut ThreadKey, wanted: &str, options: &MountOptions) -> Result<PathBuf> {
        let container = self.containers.snapshot()?.resolve(wanted, "mount container")?.clone();
        self.mount(key, &container.layer, &completed(&container, options))
    }
}

fn completed(container: &Container, options: &MountOptions) -> MountOptions {
    let mut options = options.clone();
    if options.options.is_empty() {
        options.options = container.mount_options();
    }
    if options.label.is_empty() {
        container.mount_label().clone_into(&mut options.label);
    }
    options.volatile |= container.is_volatile();
    options
}
