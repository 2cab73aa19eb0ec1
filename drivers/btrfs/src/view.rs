//! Read-only sights of layers.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use storage_core::driver::{Homes, LayerRef, PinnedDir, View};
use storage_core::error::{OsContext, Result};
use storage_core::fs::{is_subvolume, lasting_identity};
use storage_core::mount::{Features, read_only_clone};
use storage_core::sys::btrfs;

use crate::home::Home;

/// A read-only sight of the layer's tree as it stands: what is read so is an archive again or an image, which nobody writes to.
pub(crate) fn view(homes: &Homes<Home>, layer: &LayerRef, features: Features) -> Result<View> {
    let home = homes.of(layer.home)?;
    let pin = Arc::new(PinnedDir::open_in(layer.home, home.root(), home.layer(&layer.id))?);
    let root = read_only_clone(pin.path(), Some(pin.id()), features)?;
    Ok(View::new(root, vec![Box::new(pin)]))
}

/// What tells the tree at `root` from every other: the uuid of its subvolume. A plain directory in a subvolume's stead, which
/// is no work of this driver's, is told as any directory is.
pub(crate) fn identity(root: &OwnedFd, path: &Path) -> Result<String> {
    if !is_subvolume(root) {
        return lasting_identity(root, path);
    }
    let info = btrfs::info(root.as_fd()).os("ioctl(BTRFS_IOC_GET_SUBVOL_INFO)", path)?;
    Ok(format!("{:032x}", u128::from_be_bytes(info.uuid)))
}

/// Whether a layer on a parent still shows what its parent did when it was made. What the kernel keeps with a snapshot says
/// when a file was last changed before it was made, until one is changed in it.
///
/// What was written to a file counts once it is on its way to disk. Who builds on the answer takes a snapshot, which sees to
/// that, and asks again.
pub(crate) fn is_unchanged_snapshot(root: &OwnedFd, path: &Path) -> Result<bool> {
    if !is_subvolume(root) {
        return Ok(false);
    }
    let info = btrfs::info(root.as_fd()).os("ioctl(BTRFS_IOC_GET_SUBVOL_INFO)", path)?;
    Ok(info.changed < info.made && info.changed_in <= info.made_in)
}
