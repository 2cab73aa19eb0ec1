//! The directory in which the next entry lies: opened, made where it is missing, never outside of the root.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::Extractor;
use super::attributes::ids;
use crate::archive::ingest::refused;
use crate::archive::names;
use crate::archive::tar::shown;
use crate::error::{OsContext, Result};
use crate::fs::beneath::{self, Links};

/// As many links on one way as the kernel follows.
const MOST_LINKS: u32 = 40;

/// The mode of a directory that the archive names only as a part of other names.
const IMPLIED: Mode = Mode::from_raw_mode(0o755);

/// An open directory, and how to leave it.
pub(super) struct Parent {
    /// Its path as the entry has it.
    asked: Vec<u8>,
    /// Its path without links.
    pub(super) real: Vec<u8>,
    pub(super) fd: OwnedFd,
    /// Whether the way led through a link, so that the name in the archive isn't the place.
    pub(super) through_link: bool,
    /// Whether files made in it get its group instead of the process's.
    pub(super) inherits_group: bool,
    times: Timestamps,
}

/// Why a directory could not be opened.
pub(super) enum Missing {
    /// A component exists and is neither a directory nor a link to one.
    NotDirectory,
    Other(crate::Error),
}

impl From<crate::Error> for Missing {
    fn from(error: crate::Error) -> Self {
        Missing::Other(error)
    }
}

impl Extractor<'_> {
    /// Makes `dir` the directory in which the next entry is made.
    pub(super) fn enter(&mut self, dir: &[u8]) -> Result<()> {
        self.try_enter(dir).map_err(|missing| match missing {
            Missing::NotDirectory => refused(format!("{:?} is not a directory", shown(dir))),
            Missing::Other(error) => error,
        })
    }

    pub(super) fn try_enter(&mut self, dir: &[u8]) -> Result<(), Missing> {
        if self.parent.as_ref().is_some_and(|parent| parent.asked == dir) {
            return Ok(());
        }
        self.leave()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (fd, real) =
            match beneath::try_open(self.root, names::os(dir).as_ref(), flags, Mode::empty(), Links::Refuse) {
                Ok(fd) => (fd, dir.to_vec()),
                Err(Errno::NOENT | Errno::LOOP | Errno::NAMETOOLONG | Errno::NOTDIR) => self.resolve(dir, true)?,
                Err(errno) => return Err(Missing::Other(crate::Error::os("openat2", names::os(dir), errno))),
            };
        let stat = rustix::fs::fstat(&fd).os("fstat", names::os(dir))?;
        self.parent = Some(Parent {
            through_link: real != dir,
            inherits_group: Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID),
            times: times(&stat),
            asked: dir.to_vec(),
            real,
            fd,
        });
        Ok(())
    }

    /// Puts back the times that the current directory had, and closes it.
    pub(super) fn leave(&mut self) -> Result<()> {
        let Some(parent) = self.parent.take() else { return Ok(()) };
        match rustix::fs::futimens(&parent.fd, &parent.times) {
            // Times of a directory that belongs to somebody else.
            Err(Errno::PERM) if self.strictness.ignore_chown_errors || self.strictness.in_user_ns => Ok(()),
            done => done.os("futimens", names::os(&parent.asked)),
        }
    }

    /// Opens a directory that must be there, without entering it.
    pub(super) fn open_existing(&mut self, dir: &[u8], path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match beneath::try_open(self.root, names::os(dir).as_ref(), flags, Mode::empty(), Links::Refuse) {
            Ok(fd) => Ok(fd),
            Err(Errno::LOOP | Errno::NAMETOOLONG) => {
                self.resolve(dir, false).map(|(fd, _)| fd).map_err(|missing| match missing {
                    Missing::NotDirectory => refused(format!("{:?} is not there", shown(path))),
                    Missing::Other(error) => error,
                })
            }
            Err(errno) => Err(crate::Error::os("openat2", names::os(path), errno)),
        }
    }

    /// Walks to `dir` one component at a time. A link is followed inside the root, an absolute one from the root on, as
    /// if the root were the system's; one that leads above the root or to nothing is an escape. What is missing is made.
    fn resolve(&mut self, dir: &[u8], make: bool) -> Result<(OwnedFd, Vec<u8>), Missing> {
        let mut way: VecDeque<(Vec<u8>, bool)> = parts(dir).map(|part| (part.to_vec(), false)).collect();
        let mut real: Vec<u8> = Vec::new();
        let mut fd = open_step(self.root, b".").os("openat", ".")?;
        let mut links = 0;
        while let Some((part, of_link)) = way.pop_front() {
            if part == b".." {
                if real.is_empty() {
                    return Err(names::escape(dir, "goes through a symbolic link that leads out of the layer").into());
                }
                real = names::split(&real).0.to_vec();
                fd = self.open_real(&real)?;
                continue;
            }
            match open_step(fd.as_fd(), &part) {
                Ok(next) => fd = next,
                Err(Errno::NOENT) if of_link => {
                    return Err(
                        names::escape(dir, "goes through a symbolic link that leads nowhere in the layer").into()
                    );
                }
                Err(Errno::NOENT) if make => {
                    fd = make_implied(fd.as_fd(), &part)?;
                    if let Some(owner) = self.implied_owner()? {
                        let (uid, gid) = ids(owner);
                        self.chowned(rustix::fs::fchown(&fd, uid, gid)).os("fchown", names::os(&part))?;
                    }
                    self.ledger.made(&names::join(&real, &part));
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let target = match rustix::fs::readlinkat(&fd, names::os(&part), Vec::new()) {
                        Err(Errno::INVAL) => return Err(Missing::NotDirectory),
                        target => target.os("readlinkat", names::os(&part))?.into_bytes(),
                    };
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(names::escape(dir, "goes through too many symbolic links").into());
                    }
                    if target.starts_with(b"/") {
                        real.clear();
                        fd = open_step(self.root, b".").os("openat", ".")?;
                    }
                    for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                        way.push_front((part.to_vec(), true));
                    }
                    continue;
                }
                Err(errno) => return Err(crate::Error::os("openat", names::os(&part), errno).into()),
            }
            real = names::join(&real, &part);
        }
        Ok((fd, real))
    }

    /// Opens a path that holds no links, however long.
    fn open_real(&self, path: &[u8]) -> Result<OwnedFd> {
        let mut fd = open_step(self.root, b".").os("openat", ".")?;
        for part in parts(path) {
            fd = open_step(fd.as_fd(), part).os("openat", names::os(part))?;
        }
        Ok(fd)
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

fn open_step(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, names::os(name), flags, Mode::empty())
}

/// Makes a directory that no entry named so far, without a trace in the times of the one above it.
fn make_implied(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let stat = rustix::fs::fstat(dir).os("fstat", names::os(name))?;
    rustix::fs::mkdirat(dir, names::os(name), IMPLIED).os("mkdirat", names::os(name))?;
    rustix::fs::chmodat(dir, names::os(name), IMPLIED, AtFlags::empty()).os("fchmodat", names::os(name))?;
    match rustix::fs::futimens(dir, &times(&stat)) {
        Err(Errno::PERM) => {}
        done => done.os("futimens", names::os(name))?,
    }
    open_step(dir, name).os("openat", names::os(name))
}

/// Whether a stat is that of an overlay whiteout.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ },
    }
}
