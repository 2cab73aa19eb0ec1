//! Which file a path or a descriptor means: device and inode.

use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::FileStat;

use crate::error::{OsContext, Result};

/// Device and inode of a file. It can't be given to another file while a descriptor of this one is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device number.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
}

impl FileId {
    /// The identity in `stat`.
    pub fn of_stat(stat: &FileStat) -> Self {
        FileId { dev: stat.st_dev, ino: stat.st_ino }
    }

    /// The identity in `metadata`.
    pub fn of_metadata(metadata: &Metadata) -> Self {
        FileId { dev: metadata.dev(), ino: metadata.ino() }
    }

    /// The identity of what a descriptor has open.
    pub fn of_fd(fd: impl AsFd, path: &Path) -> Result<Self> {
        Ok(Self::of_stat(&nix::sys::stat::fstat(fd).os("fstat", path)?))
    }

    /// The identity of what stands at `path` (a final link is not followed), or `None` when nothing does.
    pub fn of_path(path: &Path) -> Result<Option<Self>> {
        match nix::sys::stat::lstat(path) {
            Ok(stat) => Ok(Some(Self::of_stat(&stat))),
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno).os("lstat", path),
        }
    }
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)
    }
}
