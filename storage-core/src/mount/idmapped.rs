//! Id-mapped clones of directories: the same files, seen as if mapped ids owned them.
//!
//! A clone is a detached mount of a directory with the maps of a user namespace: what 0 owns on disk is seen to belong to
//! the host's id of the container's 0. Nothing is written, no path leads to it, and it ends with its last descriptor.
//!
//! The kernel (5.12; 5.19 below overlay), the filesystem and the privileges must allow it: only the first user namespace's
//! root may do this with a disk. Whether they do is tried, never deduced ([`check_idmapped_clones`],
//! [`check_idmapped_lowers`]).

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::clone::{reopen_directory, view_attributes};
use super::{Features, MountFlags, Overlay, Source, mount_id};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::FileId;
use crate::idmap::{IdMap, Maps, Namespace, Owner};
use crate::sys::mount_setattr::mount_setattr_idmap;

/// The reference's switch: `yes` takes id-mapped mounts away.
const DISABLE: &str = "_CONTAINERS_OVERLAY_DISABLE_IDMAP";

/// How a lower directory is seen through an id-mapped clone.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// The maps.
    pub namespace: Namespace,
    /// The directory that is cloned: the lower directory itself, or one above it. All lower directories of an overlay with
    /// the same root and maps share one clone.
    pub root: PathBuf,
}

/// A read-only, noatime, nosuid, nodev sight of the directory at `path` with mapped owners, that no path names. A mount
/// below the directory is not part of it. A final link is not followed.
///
/// * Ids that the maps don't have are seen as nobody's (65534).
/// * Fails with [`Kind::Changed`] when `expected` is given and another directory stands at `path`, and with
///   [`Kind::NotSupported`] where kernel, filesystem or privileges don't allow it.
pub fn idmapped_clone(path: &Path, expected: Option<FileId>, namespace: &Namespace) -> Result<OwnedFd> {
    let root = reopen_directory(idmapped_tree(path, namespace)?, path)?;
    check_identity(&root, path, expected)?;
    Ok(root)
}

/// Fails with [`Kind::NotSupported`], and says why, unless directories like `dir` can be cloned with mapped owners.
pub fn check_idmapped_clones(dir: &Path) -> Result<()> {
    check_switch(std::env::var_os(DISABLE).as_deref())?;
    idmapped_tree(dir, &Namespace::of(&trial_maps())?).map(drop)
}

/// Fails with [`Kind::NotSupported`], and says why, unless overlay can stack such clones: tried with the directories `one`
/// and `two`, of which neither is in the other.
pub fn check_idmapped_lowers(one: &Path, two: &Path, features: Features) -> Result<()> {
    check_switch(std::env::var_os(DISABLE).as_deref())?;
    let namespace = Namespace::of(&trial_maps())?;
    let source = |path: &Path| {
        let mapped = Mapped { namespace: namespace.clone(), root: path.to_path_buf() };
        Source { mapped: Some(mapped), ..Source::at(path) }
    };
    let overlay = Overlay { lowers: vec![source(one), source(two)], upper: None, options: MountFlags::parse([]) };
    let refused = |error: Error| match error.kind() {
        Kind::NotSupported => error,
        _ => not_supported(one, format!("overlay doesn't stack id-mapped directories: {error}")),
    };
    let root = overlay.view(features).map_err(refused)?;
    let (seen, own) = (owner(&root, one)?, owner(super::clone::open_plain(one)?, one)?);
    if trial_maps().to_host(own).is_some_and(|wanted| wanted != seen) {
        return Err(not_supported(one, format!("overlay shows {seen} for what belongs to {own}")));
    }
    Ok(())
}

fn trial_maps() -> Maps {
    let map = vec![IdMap { container_id: 0, host_id: 1, size: 1 }];
    Maps { uids: map.clone(), gids: map }
}

fn check_switch(value: Option<&OsStr>) -> Result<()> {
    if value == Some(OsStr::new("yes")) {
        return Err(Error::new(Kind::NotSupported, "map ids").detail(format!("{DISABLE}=yes is set")));
    }
    Ok(())
}

fn owner(dir: impl AsFd, path: &Path) -> Result<Owner> {
    let stat = rustix::fs::fstat(dir).os("fstat", path)?;
    Ok(Owner { uid: stat.st_uid, gid: stat.st_gid })
}

fn check_identity(root: &OwnedFd, path: &Path, expected: Option<FileId>) -> Result<()> {
    match expected {
        Some(expected) if FileId::of_fd(root, path)? != expected => {
            Err(Error::new(Kind::Changed, "open layer").at(path).detail("another directory has taken its place"))
        }
        _ => Ok(()),
    }
}

/// The clone as the kernel made it: it can be attached once.
fn idmapped_tree(path: &Path, namespace: &Namespace) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = match rustix::mount::open_tree(rustix::fs::CWD, path, flags) {
        Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS) => {
            return Err(not_supported(path, "the kernel or a sandbox has no mounts without a path for this process"));
        }
        tree => tree.os("open_tree(clone)", path)?,
    };
    let clear = MountAttrFlags::MOUNT_ATTR__ATIME;
    match mount_setattr_idmap(tree.as_fd(), view_attributes(), clear, namespace.as_fd()) {
        Ok(()) => Ok(tree),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::EPERM) => not_supported(path, "mapping ids takes the privileges of this filesystem's owner"),
            Some(libc::EINVAL) => not_supported(path, "this filesystem, or this kernel, takes no id-mapped mounts"),
            Some(libc::ENOSYS) => not_supported(path, "the kernel has no id-mapped mounts"),
            _ => Error::os("mount_setattr(idmap)", path, error),
        }),
    }
}

fn not_supported(path: &Path, why: impl Into<String>) -> Error {
    Error::new(Kind::NotSupported, "map ids of mount").at(path).detail(why)
}

/// The clones that one overlay stacks, of which each is made once.
#[derive(Default)]
pub(super) struct Trees(Vec<Tree>);

struct Tree {
    mapped: Mapped,
    fd: OwnedFd,
}

impl Trees {
    /// The path of a lower directory through the descriptor of its clone, which must stay open while the path is used.
    pub(super) fn through_descriptor(&mut self, mapped: &Mapped, source: &Source) -> Result<PathBuf> {
        let (index, below) = self.find(mapped, source)?;
        let base = Path::new("/proc/thread-self/fd").join(self.0[index].fd.as_raw_fd().to_string());
        Ok(base.join(below))
    }

    /// The path of a lower directory below the current directory, where its clone is attached.
    pub(super) fn attached(&mut self, mapped: &Mapped, source: &Source) -> Result<PathBuf> {
        let known = self.0.len();
        let (index, below) = self.find(mapped, source)?;
        let place = PathBuf::from(format!("m{index}"));
        if index == known {
            std::fs::create_dir(&place).os("mkdir", &place)?;
            let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            rustix::mount::move_mount(&self.0[index].fd, "", rustix::fs::CWD, &place, empty)
                .os("move_mount", &place)?;
        }
        Ok(place.join(below))
    }

    fn make(&mut self, mapped: &Mapped) -> Result<usize> {
        let fd = idmapped_tree(&mapped.root, &mapped.namespace)?;
        self.0.push(Tree { mapped: mapped.clone(), fd });
        Ok(self.0.len() - 1)
    }

    /// The clone of a lower directory, and its path below. What is found there must be the directory that is meant, and in
    /// the clone: a link could lead to where no ids are mapped.
    fn find<'a>(&mut self, mapped: &Mapped, source: &'a Source) -> Result<(usize, &'a Path)> {
        let below = source.path.strip_prefix(&mapped.root).map_err(|_| {
            Error::new(Kind::Usage, "mount overlay")
                .at(&source.path)
                .detail(format!("not in {}", mapped.root.display()))
        })?;
        let same =
            |tree: &Tree| tree.mapped.root == mapped.root && tree.mapped.namespace.maps() == mapped.namespace.maps();
        let index = self.0.iter().position(same).map_or_else(|| self.make(mapped), Ok)?;
        let tree = &self.0[index].fd;
        let name = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(tree, name, flags, Mode::empty()).os("openat(directory)", &source.path)?;
        check_identity(&dir, &source.path, source.id)?;
        if mount_id(&dir, &source.path)? != mount_id(tree, &mapped.root)? {
            return Err(Error::new(Kind::Escape, "mount overlay")
                .at(&source.path)
                .detail(format!("a link or a mount leads out of {}", mapped.root.display())));
        }
        Ok((index, below))
    }
}

#[cfg(test)]
#[path = "idmapped_tests.rs"]
mod tests;
