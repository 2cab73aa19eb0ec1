//! Read-only detached clones of plain directories.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, OpenTreeFlags};

use super::{Features, in_private_namespace};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::FileId;
use crate::sys::mount_setattr::mount_setattr;

/// What every read-only sight of a layer obeys.
pub(super) fn view_attributes() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
}

/// The same, as `mount(2)` takes it.
pub(super) fn view_flags() -> MsFlags {
    MsFlags::MS_RDONLY | MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV
}

/// Opens the directory that `fd` leads to for reading.
pub(super) fn reopen_directory(fd: impl AsFd, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fd, ".", flags, Mode::empty()).os("openat(.)", path)
}

/// A read-only, noatime, nosuid, nodev sight of the directory at `path`, that no path names. A mount below the directory
/// is not part of it. A final link is not followed.
///
/// * Fails with [`Kind::Changed`] when `expected` is given and another directory stands at `path`.
/// * Where the process may not mount at all, the plain directory is opened: nothing then keeps a holder of the
///   descriptor, who could open the path just as well, from writing.
pub fn read_only_clone(path: &Path, expected: Option<FileId>, features: Features) -> Result<OwnedFd> {
    let root = if features.detached() { clone_detached(path) } else { in_private_namespace(|| clone_privately(path)) };
    let root = match root {
        Err(error) if matches!(error.errno(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS | libc::EINVAL)) => {
            open_plain(path)?
        }
        root => root?,
    };
    if let Some(expected) = expected
        && FileId::of_fd(&root, path)? != expected
    {
        return Err(Error::new(Kind::Changed, "open layer").at(path).detail("another directory has taken its place"));
    }
    Ok(root)
}

fn clone_detached(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, flags).os("open_tree(clone)", path)?;
    set_attributes(tree.as_fd()).os("mount_setattr(ro,noatime,nosuid,nodev)", path)?;
    reopen_directory(tree, path)
}

/// Makes a mount a sight. In a user namespace the times of access of a mount that came from outside are locked: they are
/// left then, and nobody writes through it all the same.
fn set_attributes(tree: BorrowedFd<'_>) -> std::io::Result<()> {
    let attributes = view_attributes();
    match mount_setattr(tree, attributes, MountAttrFlags::MOUNT_ATTR__ATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            mount_setattr(tree, attributes - MountAttrFlags::MOUNT_ATTR_NOATIME, MountAttrFlags::empty())
        }
        done => done,
    }
}

fn clone_privately(path: &Path) -> Result<OwnedFd> {
    let nothing = None::<&Path>;
    mount(Some(path), path, nothing, MsFlags::MS_BIND, nothing).os("mount(bind)", path)?;
    let flags = view_flags() | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    let remount = |flags| mount(nothing, path, nothing, flags, nothing);
    match remount(flags) {
        // Locked: see `set_attributes`.
        Err(nix::errno::Errno::EPERM) => remount(flags - MsFlags::MS_NOATIME),
        done => done,
    }
    .os("mount(remount,bind,ro)", path)?;
    let root = open_plain(path)?;
    umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", path)?;
    Ok(root)
}

pub(super) fn open_plain(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).os("open(directory)", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::{is_mount_root, mounts_here};
    use rustix::io::Errno;

    fn refuses_writes(features: Features) {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("tree");
        std::fs::create_dir(&path).expect("mkdir");
        std::fs::write(path.join("f"), "x").expect("write");
        let before = mounts_here().expect("mountinfo");
        let root = read_only_clone(&path, FileId::of_path(&path).expect("stat"), features).expect("clone");
        assert_eq!(mounts_here().expect("mountinfo"), before, "a view changed the mount table");
        assert!(!is_mount_root(&path).expect("statx"), "a view attached something to the path");
        let create = OFlags::CREATE | OFlags::WRONLY;
        let written = rustix::fs::openat(&root, "g", create, Mode::from_raw_mode(0o600));
        assert_eq!(written.err(), Some(Errno::ROFS), "a view could be written to");
        let read = rustix::fs::openat(&root, "f", OFlags::RDONLY, Mode::empty());
        assert!(read.is_ok(), "a view could not be read: {read:?}");
        let other = FileId { dev: 0, ino: 0 };
        let changed = read_only_clone(&path, Some(other), features).map_err(|error| error.kind());
        assert_eq!(changed.err(), Some(Kind::Changed));
    }

    #[test]
    fn a_detached_clone_is_read_only_and_leaves_the_mount_table_alone() {
        assert!(Features::of_kernel().detached(), "this kernel or sandbox has no detached mounts");
        refuses_writes(Features::of_kernel());
    }

    #[test]
    fn without_detached_mounts_a_private_namespace_gives_the_same() {
        refuses_writes(Features::NONE);
    }
}
