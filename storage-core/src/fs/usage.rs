//! How much a tree holds.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};

use super::FileId;
use super::ladder::{Ladder, entries};
use crate::error::{OsContext, Result};
use crate::task::Task;

/// What a tree holds. Each inode counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The sizes of everything but directories, as files tell them: holes count, as in the reference.
    pub bytes: u64,
    /// The inodes, the root among them.
    pub inodes: u64,
}

/// Measures the tree at `root`; `path` names it in errors. What vanishes meanwhile is not counted, and mounts below the
/// tree are not entered.
pub fn usage(root: OwnedFd, path: &Path, task: &Task) -> Result<Usage> {
    let mut ladder = Ladder::new(root, path)?;
    let mut usage = Usage { bytes: 0, inodes: 1 };
    let mut linked = HashSet::new();
    let mut pending = vec![count(&ladder, &mut usage, &mut linked, task)?];
    while let Some(names) = pending.last_mut() {
        let Some(name) = names.pop() else {
            pending.pop();
            ladder.ascend()?;
            continue;
        };
        match ladder.descend(&name) {
            Ok(()) => pending.push(count(&ladder, &mut usage, &mut linked, task)?),
            Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ENOTDIR | libc::EXDEV)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}

/// Counts one directory's entries and returns those that are directories.
fn count(ladder: &Ladder, usage: &mut Usage, linked: &mut HashSet<FileId>, task: &Task) -> Result<Vec<OsString>> {
    let mut directories = Vec::new();
    for (name, _) in entries(ladder.here(), &ladder.path_of(OsStr::new(".")))? {
        task.step(0, 1)?;
        let stat = match rustix::fs::statat(ladder.here(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => continue,
            Err(errno) => return Err(errno).os("fstatat", ladder.path_of(&name)),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            usage.inodes += 1;
            directories.push(name);
        } else if stat.st_nlink < 2 || linked.insert(FileId { dev: stat.st_dev, ino: stat.st_ino }) {
            usage.inodes += 1;
            usage.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
    }
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_inode_counts_once_and_directories_add_no_bytes() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::create_dir(dir.path().join("d")).expect("mkdir");
        std::fs::write(dir.path().join("a"), [0_u8; 1000]).expect("write");
        std::fs::hard_link(dir.path().join("a"), dir.path().join("d/b")).expect("link");
        std::fs::write(dir.path().join("d/c"), [0_u8; 24]).expect("write");
        let root = super::super::ladder::open_directory(dir.path()).expect("open");
        let usage = usage(root, dir.path(), &Task::new("t")).expect("usage");
        assert_eq!(usage, Usage { bytes: 1024, inodes: 4 });
    }
}
