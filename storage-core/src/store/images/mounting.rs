//! Mounting an image: its top layer, for reading only.

use std::path::PathBuf;
use std::sync::Arc;

use crate::driver::MountOptions;
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;
use crate::store::Store;
use crate::store::mounting::Release;

impl Store {
    /// Mounts the top layer of the image called `wanted` for reading, and counts it. Locks and errors as
    /// [`Store::mount`]; fails with [`Kind::NotSupported`] when `options` ask for writing.
    pub fn mount_image(&self, key: &mut ThreadKey, wanted: &str, options: &MountOptions) -> Result<PathBuf> {
        let _purpose = crate::record::purpose("mount image");
        if options.options.iter().any(|option| option == "rw") {
            return Err(Error::new(Kind::NotSupported, "mount image")
                .detail("\"rw\" option not supported")
                .remedy("make a container of the image to write to"));
        }
        let layer = self.top_layer(wanted, "mount image")?;
        self.mount(key, &layer, &MountOptions { read_only: true, ..options.clone() })
    }

    /// Gives back a mount of the image called `wanted`. Returns whether it is still mounted. Locks and errors as
    /// [`Store::unmount`].
    pub fn unmount_image(&self, key: &mut ThreadKey, wanted: &str, release: Release) -> Result<bool> {
        let _purpose = crate::record::purpose("unmount image");
        let layer = self.top_layer(wanted, "unmount image")?;
        self.unmount(key, &layer, release)
    }

    fn top_layer(&self, wanted: &str, operation: &'static str) -> Result<String> {
        let sight = self.sight()?;
        let image = Arc::clone(sight.image(wanted, operation)?.1);
        if image.layer.is_empty() {
            return Err(Error::new(Kind::LayerUnknown, operation).detail(format!("image {} has no layer", image.id)));
        }
        Ok(image.layer.clone())
    }
}
