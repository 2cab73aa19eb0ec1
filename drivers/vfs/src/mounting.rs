//! Showing a layer: its directory as it is.

use std::path::PathBuf;

use storage_core::driver::MountOptions;
use storage_core::error::{Error, Kind, Result};
use storage_core::ids::LayerId;

use crate::home::Home;
use crate::options::check_mount_options;

/// The directory of the layer. Nothing is mounted; who asks for a read-only mount is trusted not to write.
pub(crate) fn mount(home: &Home, id: &LayerId, options: &MountOptions) -> Result<PathBuf> {
    check_mount_options(options.options.iter().map(String::as_str))?;
    if options.namespace.as_ref().is_some_and(|namespace| !namespace.maps().is_identity()) {
        return Err(Error::new(Kind::NotSupported, "mount layer")
            .at(home.layer(id))
            .detail("a directory can't be shown with other owners than it has")
            .remedy("make the layer with the owners that it shall have"));
    }
    let path = home.layer(id);
    if home.has(id)? {
        return Ok(path);
    }
    Err(Error::new(Kind::NotFound, "mount layer").at(path).detail("the layer has no place"))
}
