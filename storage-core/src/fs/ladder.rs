//! A walk down and up a tree of any depth with a bounded number of descriptors.
//!
//! A ladder stands on a root directory and goes down by names and up again. Only the lowest rungs are kept open; a higher
//! one is opened again by `..` and must be the directory that it was. No link is followed and no mount is entered.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::FileId;
use crate::error::{Error, Kind, OsContext, Result};

/// How many rungs are kept open.
const OPEN: usize = 16;

/// Stands in a directory of a tree, and goes down and up: any depth, with a bounded number of descriptors.
#[derive(Debug)]
pub struct Ladder {
    /// The root's path, for errors.
    path: PathBuf,
    /// From the root down. The last one is always open.
    rungs: Vec<Rung>,
}

#[derive(Debug)]
struct Rung {
    name: OsString,
    id: FileId,
    fd: Option<OwnedFd>,
}

impl Ladder {
    /// A ladder on `root`, which is readable; `path` names it in errors.
    pub fn new(root: OwnedFd, path: &Path) -> Result<Self> {
        let id = FileId::of_fd(&root, path)?;
        Ok(Ladder { path: path.to_path_buf(), rungs: vec![Rung { name: OsString::new(), id, fd: Some(root) }] })
    }

    /// How many directories it is below the root.
    pub fn depth(&self) -> usize {
        self.rungs.len() - 1
    }

    /// The directory that it stands in.
    pub fn here(&self) -> BorrowedFd<'_> {
        match self.rungs.last().and_then(|rung| rung.fd.as_ref()) {
            Some(fd) => fd.as_fd(),
            None => unreachable!("the last rung is open"),
        }
    }

    /// The path of `name` in the directory that it stands in, for errors.
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(self.rungs.iter().skip(1).map(|rung| &rung.name));
        path.push(name);
        path
    }

    /// Opens the directory `name`, without going there.
    pub fn open(&self, name: &OsStr) -> Result<OwnedFd> {
        open_below(self.here(), name).os("openat2(directory, no xdev)", self.path_of(name))
    }

    /// Goes down into `name`.
    pub fn descend(&mut self, name: &OsStr) -> Result<()> {
        let fd = self.open(name)?;
        let id = FileId::of_fd(&fd, &self.path_of(name))?;
        self.rungs.push(Rung { name: name.to_owned(), id, fd: Some(fd) });
        if let Some(high) = self.rungs.len().checked_sub(OPEN + 1).filter(|high| *high > 0) {
            self.rungs[high].fd = None;
        }
        Ok(())
    }

    /// Goes up. Returns the name that it came from, or `None` when it stands on the root.
    pub fn ascend(&mut self) -> Result<Option<OsString>> {
        let count = self.rungs.len();
        if count < 2 {
            return Ok(None);
        }
        if self.rungs[count - 2].fd.is_none() {
            let path = self.path_of(OsStr::new(".."));
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let fd = rustix::fs::openat(self.here(), "..", flags, Mode::empty()).os("openat(..)", &path)?;
            if FileId::of_fd(&fd, &path)? != self.rungs[count - 2].id {
                return Err(Error::new(Kind::Changed, "walk tree").at(path).detail("a directory was moved away"));
            }
            self.rungs[count - 2].fd = Some(fd);
        }
        Ok(self.rungs.pop().map(|rung| rung.name))
    }
}

/// Opens the directory `name` below `dir`, neither through a link nor into a mount.
fn open_below(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return open_checked(dir, name, flags),
            result => return result,
        }
    }
}

/// The same where `openat2` is missing or forbidden by a seccomp filter: opens, then looks what it is.
fn open_checked(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let stat = rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    let enters_mount = match is_mount_root(stat.stx_attributes_mask, stat.stx_attributes) {
        Some(known) => known,
        // A kernel before 5.8. What can't be told is taken for a mount.
        None => mount_number(dir).is_none_or(|number| mount_number(fd.as_fd()) != Some(number)),
    };
    if enters_mount { Err(Errno::XDEV) } else { Ok(fd) }
}

/// Whether `statx` says that something is the root of a mount; kernels before 5.8 don't say.
fn is_mount_root(known: StatxAttributes, attributes: StatxAttributes) -> Option<bool> {
    known.contains(StatxAttributes::MOUNT_ROOT).then(|| attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The number of the mount that a descriptor is on, as every kernel tells it.
fn mount_number(fd: BorrowedFd<'_>) -> Option<u64> {
    let info = std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// The names and types in a directory, in the filesystem's order.
pub fn entries(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<(OsString, FileType)>> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir).os("open directory", path)? {
        let entry = entry.os("getdents64", path)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

/// Opens the directory at `path` for reading and as the base of other calls; a final link is not followed.
pub fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).os("open(directory)", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &str) -> std::fs::File {
        std::fs::File::open(path).expect("open")
    }

    #[test]
    fn a_kernel_that_says_nothing_of_mount_roots_is_not_taken_to_say_no() {
        let root = StatxAttributes::MOUNT_ROOT;
        assert_eq!(is_mount_root(StatxAttributes::empty(), StatxAttributes::empty()), None);
        assert_eq!(is_mount_root(root, StatxAttributes::empty()), Some(false));
        assert_eq!(is_mount_root(root, root), Some(true));
    }

    #[test]
    fn the_numbers_of_mounts_tell_them_apart() {
        let number = |path| mount_number(open(path).as_fd());
        assert!(number("/proc").is_some());
        assert_eq!(number("/proc"), number("/proc/self"));
        assert_ne!(number("/proc"), number("/"));
    }

    #[test]
    fn without_openat2_a_mount_is_not_entered_either() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let below = |dir, name: &str| open_checked(open(dir).as_fd(), OsStr::new(name), flags).map(drop);
        assert_eq!(below("/", "proc"), Err(Errno::XDEV));
        assert_eq!(below("/proc", "sys"), Ok(()));
    }
}
