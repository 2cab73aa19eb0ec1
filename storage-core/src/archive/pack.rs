//! Making the archive of a tree, or of what changed in it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::archive::changes::{self, Change, ChangeKind, Tree, compare};
use crate::archive::names;
use crate::archive::tar::{Entry, EntryKind, Time};
use crate::archive::walk;
use crate::archive::write::{TarWriter, check_name};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::xattr;
use crate::idmap::Owner;
use crate::task::Task;

/// Files are read in pieces of at most this size.
const PIECE: usize = 256 * 1024;

/// Writes the archive of `changes`, in their order, with the content that the tree `tree` has; of the whole tree when
/// there are none given. A deletion becomes a whiteout (`.wh.NAME`). Names of one file after the first become hard links.
///
/// `before_end` is asked after the last read and before the end of the archive is written: when it fails, the archive
/// has no valid end. A file that vanishes, shrinks or becomes something else meanwhile is a [`Kind::Changed`] error. A
/// file whose name would be a whiteout is [`Kind::NotSupported`], one whose owner is outside the maps of the tree
/// [`Kind::InvalidMappings`]. Sockets are left out.
pub fn pack(
    tree: Tree<'_>,
    changes: Option<&mut dyn Iterator<Item = Result<Change>>>,
    out: &mut dyn Write,
    before_end: &mut dyn FnMut() -> Result<()>,
    task: &Task,
) -> Result<()> {
    Packer::new(tree, None, out, task).run(changes, before_end)
}

/// As [`pack`], where everything belongs to `owner`, whoever owns it in the tree.
pub fn pack_owned_by(
    owner: Owner,
    tree: Tree<'_>,
    changes: Option<&mut dyn Iterator<Item = Result<Change>>>,
    out: &mut dyn Write,
    task: &Task,
) -> Result<()> {
    Packer::new(tree, Some(owner), out, task).run(changes, &mut || Ok(()))
}

struct Packer<'p> {
    tree: Tree<'p>,
    /// Whom everything belongs to, where that isn't taken from the tree.
    owner: Option<Owner>,
    tar: TarWriter<std::io::BufWriter<&'p mut dyn Write>>,
    /// The first names of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
    task: &'p Task,
}

impl<'p> Packer<'p> {
    fn new(tree: Tree<'p>, owner: Option<Owner>, out: &'p mut dyn Write, task: &'p Task) -> Self {
        Packer {
            tree,
            owner,
            tar: TarWriter::new(std::io::BufWriter::with_capacity(64 * 1024, out)),
            links: HashMap::new(),
            parent: None,
            buffer: vec![0; PIECE],
            task,
        }
    }

    fn run(
        mut self,
        changes: Option<&mut dyn Iterator<Item = Result<Change>>>,
        before_end: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let tree = self.tree;
        match changes {
            Some(changes) => {
                for change in changes {
                    self.add(&change?)?;
                }
            }
            None => compare(tree, None, Path::new("/"), &Task::new("list tree"), &mut |change| self.add(&change))?,
        }
        self.tar.end_entry()?;
        before_end()?;
        self.tar.finish().map(drop)
    }

    fn add(&mut self, change: &Change) -> Result<()> {
        let path = names::clean(change.path.as_os_str().as_bytes())?;
        if path.is_empty() {
            return Ok(());
        }
        check_name(&path)?;
        self.task.step(0, 1)?;
        if change.kind == ChangeKind::Delete {
            let (dir, name) = names::split(&path);
            return self.tar.entry(&whiteout(names::join(dir, &[names::WHITEOUT, name].concat())));
        }
        let (dir, name) = names::split(&path);
        let name = names::os(name);
        let dir = self.open_parent(dir, &path)?;
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|errno| failed("fstatat", &path, errno))?;
        let done = self.one(dir.as_fd(), name, &path, &stat);
        self.parent = Some((names::split(&path).0.to_vec(), dir));
        done
    }

    /// The directory of an entry; the caller gives it back, since the next entry mostly lies in it too.
    fn open_parent(&mut self, dir: &[u8], path: &[u8]) -> Result<OwnedFd> {
        match self.parent.take() {
            Some((name, fd)) if name == dir => Ok(fd),
            _ => walk::open_path(self.tree.root, dir).map_err(|errno| failed("openat", path, errno)),
        }
    }

    fn one(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8], stat: &Stat) -> Result<()> {
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let Some(mut entry) = describe(path, stat) else { return Ok(()) };
        let outside = Owner { uid: stat.st_uid, gid: stat.st_gid };
        let inside = self.owner.or_else(|| self.tree.maps.to_container(outside));
        let inside = inside.ok_or_else(|| unmapped(path, outside))?;
        (entry.uid, entry.gid) = (inside.uid, inside.gid);
        if !file_type.is_dir() && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                entry.kind = EntryKind::HardLink;
                entry.link.clone_from(first);
                entry.size = 0;
                entry.device = (0, 0);
                return self.tar.entry(&entry);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        if file_type.is_symlink() {
            let target = rustix::fs::readlinkat(dir, name, Vec::new());
            entry.link = target.map_err(|errno| failed("readlinkat", path, errno))?.into_bytes();
        }
        entry.xattrs = xattrs(dir, name).map_err(|errno| failed("llistxattr", path, errno))?;
        if !file_type.is_file() {
            return self.tar.entry(&entry);
        }
        self.file(dir, name, path, stat, entry)
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8], stat: &Stat, mut entry: Entry) -> Result<()> {
        let fd = walk::open_file(dir, name).map_err(|errno| failed("openat", path, errno))?;
        let now = rustix::fs::fstat(&fd).os("fstat", names::os(path))?;
        if (now.st_dev, now.st_ino) != (stat.st_dev, stat.st_ino) || now.st_mode != stat.st_mode {
            return Err(changed(path, "it was replaced meanwhile"));
        }
        entry.size = now.st_size as u64;
        self.tar.entry(&entry)?;
        let mut file = File::from(fd);
        let mut left = entry.size;
        while left > 0 {
            let room = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let length = match file.read(&mut self.buffer[..room]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                length => length.os("read", names::os(path))?,
            };
            if length == 0 {
                return Err(changed(path, "it became shorter meanwhile"));
            }
            self.tar.data(&self.buffer[..length])?;
            left -= length as u64;
            self.task.step(length as u64, 0)?;
        }
        Ok(())
    }
}

/// The entry of what `stat` describes; none for a socket. Link targets and attributes are still missing.
fn describe(path: &[u8], stat: &Stat) -> Option<Entry> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::Regular,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::Char,
        FileType::BlockDevice => EntryKind::Block,
        FileType::Fifo => EntryKind::Fifo,
        FileType::Socket | FileType::Unknown => return None,
    };
    let mut name = path.to_vec();
    if kind == EntryKind::Directory {
        name.push(b'/');
    }
    let device = match kind {
        EntryKind::Char | EntryKind::Block => (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        _ => (0, 0),
    };
    Some(Entry {
        kind,
        name,
        link: Vec::new(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: 0,
        stored: 0,
        mtime: Time { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
        atime: None,
        device,
        xattrs: Vec::new(),
        sparse: None,
    })
}

/// An empty file of no particular time: equal changes give equal archives.
fn whiteout(name: Vec<u8>) -> Entry {
    Entry::bare(EntryKind::Regular, name)
}

fn xattrs(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for key in xattr::list(dir, name)? {
        if (changes::counts(key.as_bytes()) || key.as_bytes() == b"security.ima")
            && let Some(value) = xattr::get(dir, name, &key)?
        {
            found.push((key.into_bytes(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn unmapped(path: &[u8], owner: Owner) -> Error {
    Error::new(Kind::InvalidMappings, "pack archive")
        .at(names::os(path))
        .detail(format!("its owner {owner} is outside the maps of the layer"))
}

fn changed(path: &[u8], what: &str) -> Error {
    Error::new(Kind::Changed, "pack archive").at(names::os(path)).detail(what)
}

/// The error of a failed call; what vanished, changed.
fn failed(call: &'static str, path: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => changed(path, "it is gone").because(errno),
        errno => Error::os(call, names::os(path), errno),
    }
}
