//! Owner, xattrs, mode and times of one file, in the order in which they don't undo each other: a change of owner drops
//! capabilities and setuid bits, and an ACL changes the mode.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{OsContext, Result};

/// Copies the metadata of one open file or directory to another. `path` is the source's, for errors.
pub(super) fn copy_metadata_fd(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(from).os("fstat", path)?;
    rustix::fs::fchown(to, Some(owner(&stat)), Some(group(&stat))).os("fchown", path)?;
    copy_xattrs(&Place::Open(from), &Place::Open(to), path)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).os("fchmod", path)?;
    rustix::fs::futimens(to, &times(&stat)).os("futimens", path)
}

/// Copies the metadata of what can't be opened: a symlink, a device, a fifo.
pub(super) fn copy_metadata_at(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &OsStr,
    stat: &Stat,
    path: &Path,
) -> Result<()> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(to, name, Some(owner(stat)), Some(group(stat)), nofollow).os("fchownat", path)?;
    copy_xattrs(&Place::named(from, name), &Place::named(to, name), path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).os("fchmodat", path)?;
    }
    rustix::fs::utimensat(to, name, &times(stat), nofollow).os("utimensat", path)
}

fn owner(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn group(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: i64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as i64),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as i64),
    }
}

/// Where xattrs are: there is no `lgetxattrat`, so what can't be opened is named through its directory's descriptor.
enum Place<'a> {
    Open(BorrowedFd<'a>),
    Named(PathBuf),
}

impl Place<'_> {
    fn named(dir: BorrowedFd<'_>, name: &OsStr) -> Self {
        Place::Named(Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
    }

    fn list(&self) -> rustix::io::Result<Vec<u8>> {
        grow(|buffer| match self {
            Place::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Place::Named(path) => rustix::fs::llistxattr(path, buffer),
        })
    }

    fn get(&self, name: &CString) -> rustix::io::Result<Vec<u8>> {
        grow(|buffer| match self {
            Place::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
            Place::Named(path) => rustix::fs::lgetxattr(path, name, buffer),
        })
    }

    fn set(&self, name: &CString, value: &[u8]) -> rustix::io::Result<()> {
        match self {
            Place::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            Place::Named(path) => rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }
}

/// Calls with larger buffers until the answer fits.
fn grow(mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0_u8; 256];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}

fn copy_xattrs(from: &Place<'_>, to: &Place<'_>, path: &Path) -> Result<()> {
    let names = match from.list() {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno).os("listxattr", path),
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = CString::new(name) else { continue };
        let value = match from.get(&name) {
            Ok(value) => value,
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(errno).os("getxattr", path).map_err(|e| e.detail(name.to_string_lossy())),
        };
        match to.set(&name, &value) {
            Ok(()) => {}
            // The label of a new file is the policy's to choose where the caller may not.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) if name.as_bytes() == b"security.selinux" => {}
            Err(errno) => return Err(errno).os("setxattr", path).map_err(|e| e.detail(name.to_string_lossy())),
        }
    }
    Ok(())
}
