//! Snapshots of layers.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::AtFlags;
use storage_core::driver::PinnedDir;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::beneath::{self, Links};
use storage_core::fs::{is_subvolume, open_directory};
use storage_core::sys::btrfs::{self, Time, Writing};

/// How deep subvolumes in subvolumes are copied.
const DEEPEST: usize = 32;

/// When a layer was last written to, also by who has it open. It doesn't change without that once all is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    transaction: u64,
    time: Time,
}

impl Written {
    pub(crate) fn of(root: BorrowedFd<'_>, path: &Path) -> Result<Self> {
        let info = btrfs::info(root).os("ioctl(BTRFS_IOC_GET_SUBVOL_INFO)", path)?;
        Ok(Written { transaction: info.changed_in, time: info.changed })
    }
}

/// Makes a snapshot of `origin` called `name` in `dir`, subvolumes in it included. `false` where that can't be: the origin is
/// a plain directory, on another filesystem, or somebody else's.
pub(crate) fn take(origin: &PinnedDir, dir: &Path, name: &str, writing: Writing) -> Result<bool> {
    let source = origin.readable()?;
    if !is_subvolume(&source) {
        return Ok(false);
    }
    let into = open_directory(dir)?;
    match btrfs::snapshot(source.as_fd(), into.as_fd(), OsStr::new(name), writing) {
        Ok(()) => {}
        Err(Errno::EXDEV | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::EROFS) => return Ok(false),
        // It was destroyed by somebody who doesn't look whether it is held.
        Err(Errno::ENOENT | Errno::ESTALE) => return Err(origin.changed()),
        Err(errno) => return Err(Error::os("ioctl(BTRFS_IOC_SNAP_CREATE_V2)", dir.join(name), errno)),
    }
    if writing == Writing::Allowed {
        let copy = beneath::open_dir(into.as_fd(), Path::new(name), Links::Refuse)?;
        take_nested(&source, &copy, &dir.join(name), DEEPEST)?;
    }
    Ok(true)
}

/// Whether there are subvolumes in the subvolume, which a snapshot shows as empty directories.
pub(crate) fn has_nested(origin: &PinnedDir) -> Result<bool> {
    let found = btrfs::nested(origin.readable()?.as_fd()).os("ioctl(BTRFS_IOC_GET_SUBVOL_ROOTREF)", origin.path())?;
    Ok(!found.is_empty())
}

/// Takes the read-only mark from a subvolume; whether there was one.
pub(crate) fn make_writable(path: &Path) -> Result<bool> {
    let root = open_directory(path)?;
    let marked = is_subvolume(&root) && btrfs::is_read_only(root.as_fd()) == Ok(true);
    if marked {
        btrfs::set_writing(root.as_fd(), Writing::Allowed).os("ioctl(BTRFS_IOC_SUBVOL_SETFLAGS)", path)?;
    }
    Ok(marked)
}

/// Puts snapshots of the subvolumes in `source` where `copy` has empty directories in their stead.
fn take_nested(source: &OwnedFd, copy: &OwnedFd, path: &Path, depth: usize) -> Result<()> {
    let nested = btrfs::nested(source.as_fd()).os("ioctl(BTRFS_IOC_GET_SUBVOL_ROOTREF)", path)?;
    if depth == 0 && !nested.is_empty() {
        return Err(Error::new(Kind::NotSupported, "copy layer")
            .at(path)
            .detail("subvolumes stand too deep in others"));
    }
    for one in nested {
        let at = one.directory.join(&one.name);
        let place = path.join(&at);
        let inner = beneath::open_dir(source.as_fd(), &at, Links::Refuse)?;
        let into = beneath::open_dir(copy.as_fd(), &one.directory, Links::Refuse)?;
        rustix::fs::unlinkat(&into, &one.name, AtFlags::REMOVEDIR).os("unlinkat(directory)", &place)?;
        btrfs::snapshot(inner.as_fd(), into.as_fd(), &one.name, Writing::Allowed)
            .os("ioctl(BTRFS_IOC_SNAP_CREATE_V2)", &place)?;
        let inner_copy = beneath::open_dir(copy.as_fd(), &at, Links::Refuse)?;
        take_nested(&inner, &inner_copy, &place, depth - 1)?;
    }
    Ok(())
}
