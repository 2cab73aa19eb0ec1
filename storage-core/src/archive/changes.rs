//! What differs between two trees.
//!
//! Two entries are equal when type, mode, owner and group (as they are inside, where maps are given) and device number are, for anything but a directory also size and
//! modification time to the nanosecond, for a link its target, and the extended attributes `security.capability` and
//! `user.*` (those of the overlay filesystem don't count). A file of several names that has not as many as before differs
//! too, so that all names of a file are told when it got one more, and their archive says that they are one file. Contents
//! are not read. A directory is reported, as modified, also when only something in it changed.

use std::cmp::Ordering;
use std::ffi::{CString, OsStr, OsString};
use std::iter::Peekable;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::archive::names;
use crate::archive::walk::{self, Dirs};
use crate::error::{Error, Kind, Result};
use crate::fs::xattr;
use crate::idmap::{Maps, Owner};
use crate::task::Task;

/// How an entry differs; the numbers are those that the reference prints in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It is in both trees and differs, or it is a directory in which something differs.
    Modify = 0,
    /// It is only in the new tree.
    Add = 1,
    /// It is only in the old tree. What was below it isn't reported.
    Delete = 2,
}

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, from the root of the tree, with a leading `/`.
    pub path: PathBuf,
    /// What is with it.
    pub kind: ChangeKind,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = match self.kind {
            ChangeKind::Modify => 'C',
            ChangeKind::Add => 'A',
            ChangeKind::Delete => 'D',
        };
        write!(f, "{letter} {}", self.path.display())
    }
}

/// A tree, and the maps with which its owners are kept.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// The root directory, readable.
    pub root: BorrowedFd<'a>,
    /// The maps: an owner counts, and stands in an archive, as it is inside.
    pub maps: &'a Maps,
}

impl<'a> Tree<'a> {
    /// The tree at `root`, whose owners are kept as they are.
    pub fn plain(root: BorrowedFd<'a>) -> Self {
        static NONE: Maps = Maps::NONE;
        Tree { root, maps: &NONE }
    }
}

/// Reports what differs between the tree `new` and the tree `old` (nothing, when there is none), at `at` and below it;
/// `/` stands for all. The root itself is never reported.
///
/// The order is that of the paths, component by component, so a directory comes before what is in it. Where one tree has
/// a directory and the other something else, the path is modified, and what a new directory holds is added. Fails with
/// [`Kind::Changed`] when an entry vanishes meanwhile.
pub fn compare(
    new: Tree<'_>,
    old: Option<Tree<'_>>,
    at: &Path,
    task: &Task,
    each: &mut dyn FnMut(Change) -> Result<()>,
) -> Result<()> {
    let at = names::clean(at.as_os_str().as_bytes())?;
    let mut walk = Walk {
        new: Dirs::new(new.root).map_err(|errno| failed("openat", &at, errno))?,
        old: old.map(|old| Dirs::new(old.root)).transpose().map_err(|errno| failed("openat", &at, errno))?,
        maps: (new.maps, old.map_or(new.maps, |old| old.maps)),
        path: Vec::new(),
        levels: Vec::new(),
        task,
        each,
    };
    if at.is_empty() {
        let has_old = walk.old.is_some();
        return walk.run(has_old, true);
    }
    let (dir, name) = names::split(&at);
    for part in dir.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        walk.new.enter(names::os(part)).map_err(|errno| failed("openat", &at, errno))?;
        match walk.old.as_mut().map(|old| old.enter(names::os(part))) {
            Some(Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => walk.old = None,
            Some(done) => done.map_err(|errno| failed("openat", &at, errno))?,
            None => {}
        }
    }
    walk.path = dir.to_vec();
    walk.only(names::os(name))
}

/// Whether and how one path differs, without looking below it. A path whose parent is no directory in a tree isn't in
/// that tree.
pub fn compare_paths(new: Tree<'_>, old: Option<Tree<'_>>, path: &Path) -> Result<Option<ChangeKind>> {
    let path = names::clean(path.as_os_str().as_bytes())?;
    let (dir, name) = names::split(&path);
    let name = if name.is_empty() { OsStr::new(".") } else { names::os(name) };
    let open = |root: BorrowedFd<'_>| match walk::open_path(root, dir) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(failed("openat", &path, errno)),
    };
    let new_dir = open(new.root)?;
    let old_dir = old.map(|old| open(old.root)).transpose()?.flatten();
    let old_maps = old.map_or(new.maps, |old| old.maps);
    let new = Side::of(new_dir.as_ref(), new.maps, name, &path)?;
    let old = Side::of(old_dir.as_ref(), old_maps, name, &path)?;
    difference(new.as_ref(), old.as_ref(), name, &path)
}

/// An entry in one of the trees.
struct Side<'a> {
    dir: BorrowedFd<'a>,
    maps: &'a Maps,
    stat: Stat,
}

impl<'a> Side<'a> {
    fn of(dir: Option<&'a impl std::os::fd::AsFd>, maps: &'a Maps, name: &OsStr, path: &[u8]) -> Result<Option<Self>> {
        let Some(dir) = dir.map(std::os::fd::AsFd::as_fd) else { return Ok(None) };
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Side { dir, maps, stat })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(failed("fstatat", path, errno)),
        }
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// The owner inside; the one outside when the maps have none for it.
    fn owner(&self) -> Result<Owner, Owner> {
        let outside = Owner { uid: self.stat.st_uid, gid: self.stat.st_gid };
        self.maps.to_container(outside).ok_or(outside)
    }
}

fn difference(new: Option<&Side<'_>>, old: Option<&Side<'_>>, name: &OsStr, path: &[u8]) -> Result<Option<ChangeKind>> {
    Ok(match (new, old) {
        (None, None) => None,
        (Some(_), None) => Some(ChangeKind::Add),
        (None, Some(_)) => Some(ChangeKind::Delete),
        (Some(new), Some(old)) => (!same(new, old, name, path)?).then_some(ChangeKind::Modify),
    })
}

fn same(new: &Side<'_>, old: &Side<'_>, name: &OsStr, path: &[u8]) -> Result<bool> {
    let (one, other) = (&new.stat, &old.stat);
    if new.owner() != old.owner() {
        return Ok(false);
    }
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) {
        return Ok(true);
    }
    if (one.st_mode, one.st_rdev) != (other.st_mode, other.st_rdev) {
        return Ok(false);
    }
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    if !new.kind().is_dir() && content(one) != content(other) {
        return Ok(false);
    }
    if !new.kind().is_dir() && one.st_nlink > 1 && one.st_nlink != other.st_nlink {
        return Ok(false);
    }
    let call = |side: &Side<'_>| rustix::fs::readlinkat(side.dir, name, Vec::new());
    if new.kind().is_symlink() {
        let target = |side| call(side).map_err(|errno| failed("readlinkat", path, errno));
        if target(new)? != target(old)? {
            return Ok(false);
        }
    }
    let attributes = |side: &Side<'_>| xattrs(side.dir, name).map_err(|errno| failed("llistxattr", path, errno));
    Ok(attributes(new)? == attributes(old)?)
}

/// The extended attributes that count, sorted.
fn xattrs(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Vec<(CString, Vec<u8>)>> {
    let mut found = Vec::new();
    for key in xattr::list(dir, name)? {
        if counts(key.as_bytes())
            && let Some(value) = xattr::get(dir, name, &key)?
        {
            found.push((key, value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether an extended attribute belongs to the content of a layer.
pub(crate) fn counts(key: &[u8]) -> bool {
    key == b"security.capability" || (key.starts_with(b"user.") && !key.starts_with(b"user.overlay."))
}

type Names = Peekable<std::vec::IntoIter<(OsString, FileType)>>;

/// One directory that is being compared.
struct Level {
    new: Names,
    old: Names,
    has_old: bool,
    /// Whether the directory was reported, or need not be.
    reported: bool,
    /// The length of its path.
    length: usize,
}

struct Walk<'w> {
    new: Dirs,
    old: Option<Dirs>,
    /// The maps of the new tree and of the old one.
    maps: (&'w Maps, &'w Maps),
    path: Vec<u8>,
    levels: Vec<Level>,
    task: &'w Task,
    each: &'w mut dyn FnMut(Change) -> Result<()>,
}

impl Walk<'_> {
    /// Compares one name of the current directories, and what is below it.
    fn only(&mut self, name: &OsStr) -> Result<()> {
        // The directories above were not asked for.
        let length = self.path.len();
        let (new, old) = (Vec::new().into_iter().peekable(), Vec::new().into_iter().peekable());
        self.levels.push(Level { new, old, has_old: self.old.is_some(), reported: true, length });
        self.entry(name)?;
        self.drain(1)
    }

    fn run(&mut self, has_old: bool, reported: bool) -> Result<()> {
        self.push(has_old, reported)?;
        self.drain(0)
    }

    /// Starts with the directories that are the current ones now.
    fn push(&mut self, has_old: bool, reported: bool) -> Result<()> {
        let list = |dirs: &Dirs| walk::list_sorted(dirs.fd()).map_err(|errno| failed("getdents", &self.path, errno));
        let new = list(&self.new)?.into_iter().peekable();
        let old = match &self.old {
            Some(old) if has_old => list(old)?,
            _ => Vec::new(),
        };
        let old = old.into_iter().peekable();
        self.levels.push(Level { new, old, has_old, reported, length: self.path.len() });
        Ok(())
    }

    /// Goes on until only `floor` levels are left to go through, and takes those away too.
    fn drain(&mut self, floor: usize) -> Result<()> {
        while self.levels.len() > floor {
            let Some(level) = self.levels.last_mut() else { break };
            self.path.truncate(level.length);
            let next = match (level.new.peek(), level.old.peek()) {
                (None, None) => None,
                (Some(_), None) => level.new.next(),
                (None, Some(_)) => level.old.next(),
                (Some(new), Some(old)) => match new.0.as_bytes().cmp(old.0.as_bytes()) {
                    Ordering::Less => level.new.next(),
                    Ordering::Greater => level.old.next(),
                    Ordering::Equal => level.new.next().and(level.old.next()),
                },
            };
            if let Some((name, _)) = next {
                self.entry(&name)?;
            } else {
                self.pop()?;
            }
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        if self.levels.is_empty() {
            return Ok(());
        }
        self.new.leave().map_err(|errno| failed("openat(..)", &self.path, errno))?;
        if let Some(old) = self.old.as_mut().filter(|_| level.has_old) {
            old.leave().map_err(|errno| failed("openat(..)", &self.path, errno))?;
        }
        Ok(())
    }

    /// Compares one name and, when it is a directory now, makes it the current level.
    fn entry(&mut self, name: &OsStr) -> Result<()> {
        self.task.step(0, 1)?;
        let has_old = self.levels.last().is_some_and(|level| level.has_old);
        self.path = names::join(&self.path, name.as_bytes());
        let new_fd = self.new.fd();
        let old_fd = self.old.as_ref().filter(|_| has_old).map(Dirs::fd);
        let new = Side::of(Some(&new_fd), self.maps.0, name, &self.path)?;
        let old = Side::of(old_fd.as_ref(), self.maps.1, name, &self.path)?;
        let Some(found) = new.as_ref().or(old.as_ref()) else {
            return Err(failed("fstatat", &self.path, Errno::NOENT));
        };
        let difference = difference(new.as_ref(), old.as_ref(), name, &self.path)?;
        let descends = found.kind().is_dir() && difference != Some(ChangeKind::Delete);
        let old_descends = descends && old.is_some_and(|old| old.kind().is_dir());
        if let Some(kind) = difference {
            self.report(kind)?;
        }
        if descends {
            self.new.enter(name).map_err(|errno| failed("openat", &self.path, errno))?;
            if let Some(old) = self.old.as_mut().filter(|_| old_descends) {
                old.enter(name).map_err(|errno| failed("openat", &self.path, errno))?;
            }
            self.push(old_descends, difference.is_some())?;
        }
        Ok(())
    }

    /// Reports the current path, after the directories above it that were not reported yet.
    fn report(&mut self, kind: ChangeKind) -> Result<()> {
        for level in &mut self.levels {
            if !level.reported {
                level.reported = true;
                (self.each)(change(&self.path[..level.length], ChangeKind::Modify))?;
            }
        }
        (self.each)(change(&self.path, kind))
    }
}

fn change(path: &[u8], kind: ChangeKind) -> Change {
    Change { path: PathBuf::from(OsString::from_vec([b"/", path].concat())), kind }
}

/// The error of a failed call; what vanished, changed.
fn failed(call: &'static str, path: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::STALE => Error::new(Kind::Changed, call).at(names::os(path)).because(errno),
        errno => Error::os(call, names::os(path), errno),
    }
}
