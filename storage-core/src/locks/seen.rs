//! Which version of a file was read, and whether it is still the one at its path.
//!
//! The open descriptor keeps the inode from being used again. A version that is replaced by a rename loses its last name
//! before the new one gets it, and one that is moved aside has its change time set: so a look at the descriptor alone
//! tells, without a walk along the path. A directory above that is moved aside with everything in it tells the descriptor
//! nothing; that is noticed at the path, which is looked at when the last such look is a millisecond old.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::stat::FileStat;

use crate::error::{OsContext, Result};
use crate::fs::FileId;

/// How long a look at the path is good for, in microseconds.
const PATH_GOOD_FOR: u64 = 1000;

/// A version of a file.
#[derive(Debug)]
pub struct SeenFile {
    file: File,
    id: FileId,
    stamp: Stamp,
    /// When the path was looked at, in microseconds of this process.
    looked: AtomicU64,
}

/// What changes when a file is edited in place, moved, or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &FileStat) -> Self {
        Stamp {
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl SeenFile {
    /// The version that `file` has open, which is at `path` or is about to be looked for there.
    pub(super) fn of(file: File, path: &Path) -> Result<Self> {
        let stat = nix::sys::stat::fstat(&file).os("fstat", path)?;
        Ok(SeenFile { id: FileId::of_stat(&stat), stamp: Stamp::of(&stat), file, looked: AtomicU64::new(0) })
    }

    /// Whether this is the version at `path`.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool> {
        let stat = nix::sys::stat::fstat(&self.file).os("fstat", path)?;
        if stat.st_nlink == 0 || Stamp::of(&stat) != self.stamp {
            return Ok(false);
        }
        let now = now();
        if now.saturating_sub(self.looked.load(Ordering::Relaxed)) < PATH_GOOD_FOR {
            return Ok(true);
        }
        let there = FileId::of_path(path)? == Some(self.id);
        if there {
            self.looked.store(now, Ordering::Relaxed);
        }
        Ok(there)
    }

    /// Whether this is the version at `path`, judged by opening it anew: what a network filesystem promises to be fresh.
    pub(super) fn is_reopened_at(&self, path: &Path) -> Result<bool> {
        // Neither a link in its place is followed, nor does a fifo there make anybody wait.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        match File::options().read(true).custom_flags(flags).open(path) {
            Ok(file) => {
                let stat = nix::sys::stat::fstat(&file).os("fstat", path)?;
                Ok(FileId::of_stat(&stat) == self.id && Stamp::of(&stat) == self.stamp)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Ok(false),
            Err(error) => Err(error).os("open", path),
        }
    }
}

/// Microseconds of this process, never less than [`PATH_GOOD_FOR`].
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64 + PATH_GOOD_FOR
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seen(path: &Path) -> SeenFile {
        SeenFile::of(File::open(path).expect("open"), path).expect("stat")
    }

    #[test]
    fn a_version_is_current_until_it_is_replaced_edited_removed_or_moved() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        let other = dir.path().join("g");
        let spoil: [(&str, &dyn Fn()); 4] = [
            ("replaced", &|| {
                std::fs::write(&other, "[]").expect("write");
                std::fs::rename(&other, &path).expect("rename");
            }),
            ("edited in place", &|| std::fs::write(&path, "[1]").expect("write")),
            ("removed", &|| std::fs::remove_file(&path).expect("unlink")),
            ("moved with its directory", &|| {
                std::fs::rename(dir.path(), dir.path().with_extension("away")).expect("rename");
            }),
        ];
        for (what, spoil) in spoil {
            std::fs::write(&path, "[]").expect("write");
            let version = seen(&path);
            assert!(version.is_at(&path).expect("look") && version.is_at(&path).expect("look again"));
            assert!(version.is_reopened_at(&path).expect("open"));
            spoil();
            std::thread::sleep(Duration::from_micros(2 * PATH_GOOD_FOR));
            assert!(!version.is_at(&path).expect("look"), "{what}, and still taken for current");
            assert!(!version.is_reopened_at(&path).expect("open"), "{what}, and still taken for current");
        }
        std::fs::remove_dir_all(dir.path().with_extension("away")).expect("clean up");
    }

    #[test]
    fn a_replaced_version_is_noticed_at_once() {
        let dir = tempfile::tempdir().expect("dir");
        let (path, next) = (dir.path().join("f"), dir.path().join("next"));
        std::fs::write(&path, "0").expect("write");
        for round in 0..1000 {
            let version = seen(&path);
            assert!(version.is_at(&path).expect("look"));
            std::fs::write(&next, round.to_string()).expect("write");
            std::fs::rename(&next, &path).expect("rename");
            assert!(!version.is_at(&path).expect("look"), "round {round}: a replaced file was taken for current");
        }
    }
}
