//! Copies of trees, as exact as `cp -a`: owners, modes, times to the nanosecond, every xattr that can be read, hard links
//! within the tree, holes, devices and fifos. Sockets are left out: they mean nothing without their listener.
//!
//! Data is shared where the filesystem can (`FICLONE`), else copied in the kernel (`copy_file_range`), else byte by byte.
//! The first refusal of a copy is remembered for the rest of it.
//!
//! No link is followed and no mount is entered, on either side; a mount in the source is copied as the empty directory
//! below it would be. Any depth, with a bounded number of descriptors. The source is at rest by the caller's care: one
//! that changes meanwhile gives an error or a mixture, and the caller finds out when it looks at its identity again.

mod data;
mod metadata;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use self::data::DataCopier;
use self::metadata::{copy_metadata_at, copy_metadata_fd};
use super::FileId;
use super::ladder::{Ladder, entries};
use crate::error::{Error, OsContext, Result};
use crate::task::Task;

/// One side of a copy: an open directory, and its path for errors.
#[derive(Debug)]
pub struct Side<'a> {
    /// The directory, readable.
    pub root: OwnedFd,
    /// What to call it.
    pub path: &'a Path,
}

/// Copies what is in `from`, and the metadata of `from` itself, into the directory `to`, which is empty.
///
/// * Stops at the next piece when the task is cancelled; what is there so far stays.
pub fn copy_tree(from: Side<'_>, to: Side<'_>, task: &Task) -> Result<()> {
    let root = rustix::io::fcntl_dupfd_cloexec(&to.root, 0).os("fcntl(F_DUPFD_CLOEXEC)", to.path)?;
    let mut copy = Copy {
        source: Ladder::new(from.root, from.path)?,
        target: Ladder::new(to.root, to.path)?,
        target_root: root,
        here: PathBuf::new(),
        linked: HashMap::new(),
        data: DataCopier::default(),
        task,
    };
    copy.run()
}

struct Copy<'a> {
    source: Ladder,
    target: Ladder,
    target_root: OwnedFd,
    /// The directory that both ladders stand in, relative to their roots.
    here: PathBuf,
    /// Where an inode with several names was first put.
    linked: HashMap<FileId, PathBuf>,
    data: DataCopier,
    task: &'a Task,
}

impl Copy<'_> {
    fn run(&mut self) -> Result<()> {
        let mut pending = vec![self.copy_entries()?];
        while let Some(names) = pending.last_mut() {
            if let Some(name) = names.pop() {
                self.enter(&name)?;
                pending.push(self.copy_entries()?);
                continue;
            }
            pending.pop();
            // A directory's times are set when nothing more will be put into it.
            let path = self.source.path_of(OsStr::new("."));
            copy_metadata_fd(self.source.here(), self.target.here(), &path)?;
            if self.source.ascend()?.is_some() {
                self.target.ascend()?;
                self.here.pop();
            }
        }
        Ok(())
    }

    fn enter(&mut self, name: &OsStr) -> Result<()> {
        let path = self.target.path_of(name);
        rustix::fs::mkdirat(self.target.here(), name, Mode::RWXU).os("mkdirat", &path)?;
        match self.source.descend(name) {
            Err(error) if error.errno() == Some(libc::EXDEV) => {
                return Err(error.detail("something is mounted in the tree that is to be copied"));
            }
            result => result?,
        }
        self.target.descend(name)?;
        self.here.push(name);
        Ok(())
    }

    /// Copies everything but directories, whose names are returned.
    fn copy_entries(&mut self) -> Result<Vec<OsString>> {
        let mut directories = Vec::new();
        for (name, _) in entries(self.source.here(), &self.source.path_of(OsStr::new(".")))? {
            self.task.step(0, 1)?;
            let path = self.source.path_of(&name);
            let stat = rustix::fs::statat(self.source.here(), &name, AtFlags::SYMLINK_NOFOLLOW).os("fstatat", &path)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => directories.push(name),
                FileType::Socket => {}
                kind => self.copy_entry(&name, kind, &stat, &path)?,
            }
        }
        Ok(directories)
    }

    fn copy_entry(&mut self, name: &OsStr, kind: FileType, stat: &Stat, path: &Path) -> Result<()> {
        if stat.st_nlink > 1 {
            let id = FileId { dev: stat.st_dev, ino: stat.st_ino };
            if let Some(first) = self.linked.get(&id) {
                return link(self.target_root.as_fd(), first, self.target.here(), name)
                    .os("linkat", self.target.path_of(name));
            }
            self.linked.insert(id, self.here.join(name));
        }
        if kind == FileType::RegularFile {
            return self.copy_file(name, path);
        }
        let (source, target) = (self.source.here(), self.target.here());
        let made = if kind == FileType::Symlink {
            rustix::fs::readlinkat(source, name, Vec::new())
                .and_then(|link| rustix::fs::symlinkat(link.as_c_str(), target, name))
        } else {
            rustix::fs::mknodat(target, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)
        };
        made.os("mknodat or symlinkat", self.target.path_of(name))?;
        copy_metadata_at(source, target, name, stat, path)
    }

    fn copy_file(&mut self, name: &OsStr, path: &Path) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = open_without_atime(self.source.here(), name, flags).os("openat", path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(self.target.here(), name, flags, Mode::RUSR | Mode::WUSR)
            .os("openat(create)", self.target.path_of(name))?;
        let copied = self.data.copy(from.as_fd(), to.as_fd(), self.task);
        copied.map_err(|failure| match failure {
            data::Failure::Os(call, errno) => Error::os(call, path, errno),
            data::Failure::Stopped(error) => error,
        })?;
        copy_metadata_fd(from.as_fd(), to.as_fd(), path)
    }
}

/// Opens without touching the access time, where the caller may.
fn open_without_atime(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        result => result,
    }
}

/// Links `first`, relative to `root`, as `name` in `dir`; a path longer than the kernel takes is gone down in pieces.
fn link(root: BorrowedFd<'_>, first: &Path, dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    if first.as_os_str().len() < 4000 {
        return rustix::fs::linkat(root, first, dir, name, AtFlags::empty());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut below = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    for component in first.parent().into_iter().flat_map(Path::components) {
        below = rustix::fs::openat(&below, component.as_os_str(), flags, Mode::empty())?;
    }
    rustix::fs::linkat(&below, first.file_name().unwrap_or_default(), dir, name, AtFlags::empty())
}

#[cfg(test)]
mod tests;
