//! The home as a mount of its own, private to this mount namespace.
//!
//! The reference binds the home on itself before it first mounts a layer, and takes the bind away at shutdown. A layer that was
//! mounted before such a bind would be hidden below it: counted, listed by the kernel, and out of reach by its path. So a
//! layer is only ever mounted when the bind is there, whoever made it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use storage_core::error::{OsContext, Result};
use storage_core::mount::is_mount_root;

/// Makes the home a private mount unless it is a mount already. The caller holds the layers for mounting.
pub(crate) fn make(home: &Path) -> Result<()> {
    if is_mount_root(home)? {
        return Ok(());
    }
    let nothing: Option<&str> = None;
    mount(Some(home), home, nothing, MsFlags::MS_BIND, nothing).os("mount(bind)", home)?;
    mount(nothing, home, nothing, MsFlags::MS_PRIVATE, nothing).os("mount(private)", home)
}

/// Takes the bind away. A filesystem of its own that somebody mounted at the home is left alone.
pub(crate) fn take_away(home: &Path) -> Result<Option<OwnedFd>> {
    let parent = home.parent().unwrap_or(home);
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).os("stat", path);
    if !is_mount_root(home)? || device(home)? != device(parent)? {
        return Ok(None);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let kept = rustix::fs::open(home, flags, Mode::empty()).os("open(O_PATH)", home)?;
    umount2(home, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", home)?;
    Ok(Some(kept))
}
