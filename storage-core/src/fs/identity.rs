//! Which file a path or a descriptor means: device and inode.

use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::FileStat;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

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

/// What tells a directory from every other one of its filesystem, also after a reboot, which may give the filesystem another
/// device number: the inode, and the time of birth where the filesystem keeps one.
pub fn lasting_identity(fd: impl AsFd, path: &Path) -> Result<String> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let stat = match rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, wanted) {
        // A seccomp filter that doesn't know the call.
        Err(Errno::NOSYS | Errno::PERM) => return Ok(FileId::of_fd(fd, path)?.ino.to_string()),
        stat => stat.os("statx", path)?,
    };
    if stat.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return Ok(stat.stx_ino.to_string());
    }
    let birth = stat.stx_btime;
    Ok(format!("{}:{}.{:09}", stat.stx_ino, birth.tv_sec, birth.tv_nsec))
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_lasting_identity_follows_the_directory_and_names_no_device() {
        let dir = tempfile::tempdir().expect("dir");
        let make = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("mkdir");
            path
        };
        let tell = |path: &Path| lasting_identity(File::open(path).expect("open"), path).expect("statx");
        let (one, other) = (make("one"), make("other"));
        let first = tell(&one);
        assert_ne!(first, tell(&other));
        std::fs::write(one.join("f"), "x").expect("write");
        let moved = dir.path().join("moved");
        crate::fs::atomic::rename_over(&one, &moved).expect("rename");
        assert_eq!(tell(&moved), first, "what changes in it or where it lies doesn't matter");
        let inode = std::fs::metadata(&moved).expect("stat").ino().to_string();
        assert_eq!(first.split(':').next(), Some(inode.as_str()));
    }
}
