//! Descending into directories by descriptor, however deep, with a bounded number of descriptors.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::fs::beneath::{self, Links};

/// How many directories of one path are kept open; those above are found again by `..` and compared.
const MOST_OPEN: usize = 64;

/// What says that a directory is still the same: device and inode.
type Identity = (u64, u64);

/// The directories from a root down to the current one.
pub(crate) struct Dirs {
    /// The innermost open directories; the last one is the current one.
    open: VecDeque<OwnedFd>,
    /// The identities of all, root first.
    path: Vec<Identity>,
}

impl Dirs {
    pub(crate) fn new(root: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let fd = open_dir(root, OsStr::new("."))?;
        let path = vec![identity(&fd)?];
        Ok(Dirs { open: VecDeque::from([fd]), path })
    }

    /// The current directory.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // One is always open: `enter` adds before it closes, `leave` opens the next before it drops.
        self.open.back().expect("a directory is open").as_fd()
    }

    /// Makes the directory `name` of the current one the current one. A link is refused.
    pub(crate) fn enter(&mut self, name: &OsStr) -> rustix::io::Result<()> {
        let fd = open_dir(self.fd(), name)?;
        self.path.push(identity(&fd)?);
        self.open.push_back(fd);
        if self.open.len() > MOST_OPEN {
            self.open.pop_front();
        }
        Ok(())
    }

    /// Goes back up by one. Fails with `ESTALE` when the directory was moved meanwhile.
    pub(crate) fn leave(&mut self) -> rustix::io::Result<()> {
        if self.path.len() < 2 {
            return Err(Errno::INVAL);
        }
        self.path.pop();
        if self.open.len() == 1 {
            let parent = open_dir(self.fd(), OsStr::new(".."))?;
            if self.path.last() != Some(&identity(&parent)?) {
                return Err(Errno::STALE);
            }
            self.open.push_front(parent);
        }
        self.open.pop_back();
        Ok(())
    }
}

fn identity(fd: &OwnedFd) -> rustix::io::Result<Identity> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Opens a directory for reading, without touching its access time where that is allowed.
pub(crate) fn open_dir(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    open_quietly(dir, name, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file for reading, without touching its access time where that is allowed. Never waits.
pub(crate) fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    open_quietly(dir, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn open_quietly(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        done => done,
    }
}

/// The names in a directory with their types (unknown where the filesystem doesn't say), without `.` and `..`.
pub(crate) fn list(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    // A directory may be listed twice through one descriptor.
    rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push((OsStr::from_bytes(name).to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// [`list`] in the order of the names.
pub(crate) fn list_sorted(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let mut names = list(dir)?;
    names.sort_unstable_by(|one, other| one.0.as_bytes().cmp(other.0.as_bytes()));
    Ok(names)
}

/// Opens a directory beneath `root` by a path without links, of any length.
pub(crate) fn open_path(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match beneath::try_open(root, OsStr::from_bytes(path).as_ref(), flags, Mode::empty(), Links::Refuse) {
        Err(Errno::NAMETOOLONG) => {}
        done => return done,
    }
    let mut fd = open_dir(root, OsStr::new("."))?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        fd = open_dir(fd.as_fd(), OsStr::from_bytes(part))?;
    }
    Ok(fd)
}
