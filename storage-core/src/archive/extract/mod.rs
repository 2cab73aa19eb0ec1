//! Making files of entries, strictly beneath one directory.
//!
//! Every call works on the descriptor of the parent directory and one name in it, and never follows a link there. The
//! parent of the last entry stays open, since entries of one directory mostly follow each other. Making a file changes
//! the modification time of its directory; the times that the directory had are put back when the next entry lies
//! elsewhere, so that at the end each directory has the times of its own entry, without a list of directories.

mod attributes;
mod file;
mod parent;
mod remove;
mod whiteout;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::archive::ingest::{Whiteouts, refused};
use crate::archive::names;
use crate::archive::tar::{Entry, EntryKind, shown};
use crate::archive::tar_split::{Ledger, SplitWriter};
use crate::error::{OsContext, Result};
use crate::idmap::{Maps, Owner};
use crate::task::Task;

pub(crate) use file::NewFile;
use parent::Parent;

/// The state of one extraction.
pub(crate) struct Extractor<'a> {
    root: BorrowedFd<'a>,
    whiteouts: Whiteouts,
    ledger: Ledger,
    maps: Maps,
    strictness: Strictness,
    /// What the process makes files as; no chown is needed for these.
    own: Owner,
    parent: Option<Parent>,
    /// The entry of the root itself. It is honoured at the end: making entries changes the root's time.
    root_entry: Option<Entry>,
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
}

/// What is no error.
#[derive(Clone, Copy)]
pub(crate) struct Strictness {
    pub(crate) ignore_chown_errors: bool,
    pub(crate) in_user_ns: bool,
}

/// What became of an entry.
pub(crate) enum Placed {
    /// It is done, or it makes no file.
    Done,
    /// A file was made that takes the entry's data.
    File(NewFile),
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, whiteouts: Whiteouts, maps: Maps, strictness: Strictness) -> Self {
        let own = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        let (uids, gids) = Default::default();
        Extractor {
            root,
            whiteouts,
            ledger: Ledger::new(),
            maps,
            strictness,
            own,
            parent: None,
            root_entry: None,
            uids,
            gids,
        }
    }

    /// Makes what `entry`, whose clean path is `path`, describes. For a file with data the caller writes it and calls
    /// [`Extractor::finish_file`].
    pub(crate) fn place(&mut self, entry: &Entry, path: &[u8], task: &Task) -> Result<Placed> {
        let (dir, name) = names::split(path);
        if name.starts_with(names::WHITEOUT) {
            self.whiteout(entry, dir, name, task)?;
            return Ok(Placed::Done);
        }
        self.uids.insert(entry.uid);
        self.gids.insert(entry.gid);
        if path.is_empty() {
            return match entry.kind {
                EntryKind::Directory => {
                    self.root_entry = Some(entry.clone());
                    Ok(Placed::Done)
                }
                _ => Err(refused(format!("the entry {:?} would replace the root of the layer", shown(&entry.name)))),
            };
        }
        self.enter(dir)?;
        match entry.kind {
            EntryKind::Regular => return self.regular(entry, name, path, task).map(Placed::File),
            EntryKind::Directory => self.directory(entry, name, task)?,
            EntryKind::HardLink => return self.hard_link(entry, name, task).map(|()| Placed::Done),
            EntryKind::Char | EntryKind::Block if self.strictness.in_user_ns => return Ok(Placed::Done),
            EntryKind::Symlink | EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                self.special(entry, name, task)?;
            }
            EntryKind::Global => return Ok(Placed::Done),
        }
        self.attributes(entry, name)?;
        self.made(name);
        Ok(Placed::Done)
    }

    fn regular(&mut self, entry: &Entry, name: &[u8], path: &[u8], task: &Task) -> Result<NewFile> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o700);
        let fd = self.make(name, task, |dir, name| rustix::fs::openat(dir, names::os(name), flags, mode))?;
        self.made(name);
        let replayable = !self.here().through_link;
        Ok(NewFile::new(fd, path, entry, replayable))
    }

    /// Gives a file that has its data the attributes of its entry.
    pub(crate) fn finish_file(&mut self, file: NewFile, entry: &Entry) -> Result<()> {
        let inherits = self.here().inherits_group;
        let file = file.complete()?;
        self.file_attributes(&file, entry, inherits)
    }

    fn directory(&mut self, entry: &Entry, name: &[u8], task: &Task) -> Result<()> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777 | 0o700);
        let at = self.here().fd.as_fd();
        match rustix::fs::mkdirat(at, names::os(name), mode) {
            Err(Errno::EXIST) => {}
            done => return done.os("mkdirat", names::os(name)),
        }
        let stat = rustix::fs::statat(at, names::os(name), AtFlags::SYMLINK_NOFOLLOW).os("fstatat", names::os(name))?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return self.drop_foreign_xattrs(entry, name);
        }
        self.clear(name, task)?;
        rustix::fs::mkdirat(self.here().fd.as_fd(), names::os(name), mode).os("mkdirat", names::os(name))?;
        if self.whiteouts != Whiteouts::Apply {
            // Whatever was here hid what lower layers have here, and so must the directory.
            self.make_opaque(name)?;
        }
        Ok(())
    }

    fn special(&mut self, entry: &Entry, name: &[u8], task: &Task) -> Result<()> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        if entry.kind == EntryKind::Symlink && (entry.link.is_empty() || entry.link.contains(&0)) {
            return Err(refused(format!("the symbolic link {:?} has no valid target", shown(&entry.name))));
        }
        self.make(name, task, |dir, name| match entry.kind {
            EntryKind::Symlink => rustix::fs::symlinkat(names::os(&entry.link), dir, names::os(name)),
            EntryKind::Char => rustix::fs::mknodat(dir, names::os(name), FileType::CharacterDevice, mode, device),
            EntryKind::Block => rustix::fs::mknodat(dir, names::os(name), FileType::BlockDevice, mode, device),
            _ => rustix::fs::mknodat(dir, names::os(name), FileType::Fifo, mode, 0),
        })
    }

    /// A second name for a file beneath the root. Owner, mode and times are the file's own already.
    fn hard_link(&mut self, entry: &Entry, name: &[u8], task: &Task) -> Result<()> {
        let target = names::clean_relative(&entry.link)?;
        let (target_dir, target_name) = names::split(&target);
        if target.is_empty() {
            return Err(refused(format!("the hard link {:?} has no valid target", shown(&entry.name))));
        }
        let from = self.open_existing(target_dir, &target)?;
        let link = |dir: BorrowedFd<'_>| {
            rustix::fs::linkat(from.as_fd(), names::os(target_name), dir, names::os(name), AtFlags::empty())
        };
        match link(self.here().fd.as_fd()) {
            Err(Errno::EXIST) => {}
            done => {
                done.os("linkat", names::os(&target))?;
                self.made(name);
                return Ok(());
            }
        }
        let stat = |dir: BorrowedFd<'_>, name: &[u8]| {
            let stat = rustix::fs::statat(dir, names::os(name), AtFlags::SYMLINK_NOFOLLOW);
            stat.map(|stat| (stat.st_dev, stat.st_ino)).os("fstatat", names::os(name))
        };
        if stat(from.as_fd(), target_name)? != stat(self.here().fd.as_fd(), name)? {
            self.clear(name, task)?;
            link(self.here().fd.as_fd()).os("linkat", names::os(&target))?;
        }
        self.made(name);
        Ok(())
    }

    /// Makes something at `name`; what is there already goes first.
    fn make<T>(
        &mut self,
        name: &[u8],
        task: &Task,
        call: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Result<T> {
        match call(self.here().fd.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.clear(name, task)?;
                call(self.here().fd.as_fd(), name).os("create", names::os(name))
            }
            done => done.os("create", names::os(name)),
        }
    }

    /// The open parent directory. [`Extractor::enter`] comes before everything that asks for it.
    fn here(&self) -> &Parent {
        self.parent.as_ref().expect("a parent directory was entered")
    }

    fn made(&mut self, name: &[u8]) {
        if let Some(parent) = &self.parent {
            self.ledger.made(&names::join(&parent.real, name));
        }
    }

    /// Writes the line of an entry without content, unless an earlier entry of that name has one, or it was reached
    /// through a link.
    pub(crate) fn name_line<W: Write>(&mut self, path: &[u8], split: &mut SplitWriter<W>, name: &[u8]) -> Result<()> {
        let through_link = self.parent.as_ref().is_some_and(|parent| parent.through_link);
        if !through_link && self.ledger.may_name(path) {
            let position = split.file(name, 0, 0)?;
            self.ledger.named(path, position, false);
        }
        Ok(())
    }

    /// Notes the line that promises the content of a file.
    pub(crate) fn named(&mut self, path: &[u8], position: u32) {
        self.ledger.named(path, position, true);
    }

    /// Puts back the times of the last directory, and gives the root its attributes; the owners, the groups, and the
    /// ledger.
    pub(crate) fn finish(mut self) -> Result<(Vec<u32>, Vec<u32>, Ledger)> {
        self.leave()?;
        if let Some(entry) = &self.root_entry {
            self.file_attributes(self.root, entry, true)?;
        }
        Ok((self.uids.into_iter().collect(), self.gids.into_iter().collect(), self.ledger))
    }
}
