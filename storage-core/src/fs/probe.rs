//! What a filesystem can do, found out without leaving anything behind.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::ladder::{entries, open_directory};
use crate::error::{OsContext, Result};

/// The nearest existing directory on the way up from `path`, itself included.
pub fn nearest_existing(path: &Path) -> PathBuf {
    let mut at = path;
    while !at.is_dir() {
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            Some(_) => return PathBuf::from("."),
            None => return PathBuf::from("/"),
        }
    }
    at.to_path_buf()
}

/// The magic numbers of filesystems whose files others may change without this kernel's knowledge: NFS, SMB (three numbers),
/// AFS (two), Ceph, Lustre, GPFS, OCFS2, and everything in user space.
const REMOTE: &[u64] = &[
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x5346_414f,
    0x6b41_4653,
    0x00c3_6400,
    0x0bd0_0bd0,
    0x4750_4653,
    0x7461_636f,
    0x6573_5546,
];

/// Whether the filesystem at `path`, or at the nearest directory above it that exists, is one whose files can change without
/// this kernel's knowledge, so that what `stat` says of an open descriptor may be old.
pub fn is_remote(path: &Path) -> bool {
    let magic = rustix::fs::statfs(&nearest_existing(path)).map(|stat| stat.f_type as u64 & 0xffff_ffff);
    magic.is_ok_and(|magic| REMOTE.contains(&magic))
}

/// Whether copies on the filesystem of `dir` can share blocks. Tried with files that have no name.
pub fn has_reflink(dir: &Path) -> bool {
    let nameless = || {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)
    };
    let (Ok(from), Ok(to)) = (nameless(), nameless()) else { return false };
    rustix::io::write(&from, &[b'x'; 4096]).is_ok() && rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Whether the filesystem tells the types of directory entries, by those of `dir`, which must not be empty.
pub fn has_d_type(dir: &Path) -> Result<bool> {
    let fd = open_directory(dir)?;
    let mut all = true;
    for (name, kind) in entries(std::os::fd::AsFd::as_fd(&fd), dir)? {
        let stat = rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW).os("fstatat", dir.join(&name))?;
        all &= kind == FileType::from_raw_mode(stat.st_mode);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_existing_directory_is_found_above_what_is_missing() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(nearest_existing(&dir.path().join("a/b/c")), dir.path());
        assert_eq!(nearest_existing(dir.path()), dir.path());
        assert_eq!(nearest_existing(Path::new("no-such-directory/x")), Path::new("."));
    }

    #[test]
    fn a_local_directory_is_not_remote() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(!is_remote(&dir.path().join("missing")), "the temporary directory is taken for a remote one");
    }

    #[test]
    fn probing_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("dir");
        let _either = has_reflink(dir.path());
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
        std::fs::create_dir(dir.path().join("d")).expect("mkdir");
        assert!(has_d_type(dir.path()).expect("d_type"), "the filesystem of the temporary directory has types");
    }
}
