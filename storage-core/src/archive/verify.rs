//! Whether a tree is what archives made it: each entry of theirs is there as they describe it, and nothing else is.
//!
//! What can't be told is not told: times of directories, which change with what is made in them; what an archive put behind
//! one of its own links; and, where the caller says so, owners and what an unprivileged extraction leaves out.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat};

use crate::archive::changes::{self, Change};
use crate::archive::ingest::Whiteouts;
use crate::archive::tar::{Entry, EntryKind, Reader, Time};
use crate::archive::{compare, names, walk};
use crate::error::{OsContext, Result};
use crate::fs::xattr;
use crate::task::Task;

/// What of a tree is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path from the root of the tree.
    pub path: PathBuf,
    /// What is with it.
    pub what: String,
}

/// What of an entry can't be relied upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Owner and group: the files are stored with others.
    pub owners: bool,
    /// Devices and extended attributes: who extracted might not be allowed to make them.
    pub privileged: bool,
}

/// The tree that archives make, entry by entry.
#[derive(Debug)]
pub struct Expected {
    /// Whether the whiteouts of the archives stand in the tree.
    whiteouts: Whiteouts,
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Whether something was put behind a link, so that not all names are known.
    blurred: bool,
}

#[derive(Debug)]
enum Node {
    /// As this entry says. `None` for a directory that no entry names.
    Entry(Option<Box<Entry>>),
    /// Another name of this path.
    Link(Vec<u8>),
    /// Hidden, by a file of the overlay filesystem.
    Whiteout,
    /// One of several entries of one name made it: it may be any of them.
    Any,
}

impl Expected {
    /// Nothing at all.
    pub fn new(whiteouts: Whiteouts) -> Self {
        Expected { whiteouts, nodes: BTreeMap::new(), blurred: false }
    }

    /// Adds what the next archive makes on top of the former ones.
    pub fn add(&mut self, archive: impl BufRead) -> Result<()> {
        // What is put in the place of one name is no news of the other names of the file.
        for node in self.nodes.values_mut().filter(|node| matches!(node, Node::Link(_))) {
            *node = Node::Any;
        }
        let mut reader = Reader::new(archive);
        let (mut later, mut hidden) = (Vec::new(), Vec::new());
        while let Some(entry) = reader.next_entry()? {
            reader.raw().clear();
            if entry.kind == EntryKind::Global {
                continue;
            }
            let path = names::clean(&entry.name)?;
            let (_, name) = names::split(&path);
            if name.starts_with(names::WHITEOUT) {
                hidden.push(path);
            } else if !path.is_empty() {
                later.push((path, entry));
            }
        }
        // Whiteouts mean what lies below the archive.
        for path in hidden {
            self.hide(&path);
        }
        let mut own = std::collections::HashSet::new();
        for (path, entry) in later {
            let again = !own.insert(path.clone());
            self.put(path, entry, again);
        }
        Ok(())
    }

    fn hide(&mut self, whiteout: &[u8]) {
        let (dir, name) = names::split(whiteout);
        if name == names::OPAQUE {
            if self.whiteouts == Whiteouts::Apply {
                self.remove_below(dir);
            }
            return self.make_parents(&names::join(dir, b"x"));
        }
        if name.starts_with(names::WHITEOUT_META) {
            return;
        }
        let path = names::join(dir, &name[names::WHITEOUT.len()..]);
        self.remove_below(&path);
        self.nodes.remove(&path);
        if matches!(self.whiteouts, Whiteouts::Overlay { .. }) {
            self.make_parents(&path);
            self.nodes.insert(path, Node::Whiteout);
        } else {
            self.make_parents(&path);
        }
    }

    fn put(&mut self, path: Vec<u8>, entry: Entry, again: bool) {
        if self.is_behind_link(&path) {
            self.blurred = true;
            return;
        }
        self.make_parents(&path);
        let was_directory = matches!(self.nodes.get(&path), Some(Node::Entry(kept)) if kept.as_ref().is_none_or(|e| e.kind == EntryKind::Directory));
        if entry.kind != EntryKind::Directory {
            self.remove_below(&path);
        }
        let node = match entry.kind {
            _ if again && !(was_directory && entry.kind == EntryKind::Directory) => Node::Any,
            EntryKind::HardLink => match names::clean(&entry.link) {
                Ok(target) => self.linked(target, &entry),
                Err(_) => Node::Any,
            },
            _ => Node::Entry(Some(Box::new(entry))),
        };
        self.nodes.insert(path, node);
    }

    /// A further name of `target`. What its entry says of the file otherwise is what the file is then, or not: that depends on who
    /// extracts it.
    fn linked(&mut self, target: Vec<u8>, entry: &Entry) -> Node {
        let target = match self.nodes.get(&target) {
            Some(Node::Link(first)) => first.clone(),
            _ => target,
        };
        let same = |first: &Entry| {
            (first.mode, first.uid, first.gid, first.mtime) == (entry.mode, entry.uid, entry.gid, entry.mtime)
        };
        if matches!(self.nodes.get(&target), Some(Node::Entry(Some(first))) if !same(first)) {
            self.nodes.insert(target.clone(), Node::Any);
        }
        Node::Link(target)
    }

    /// Directories that no entry names, on the way to `path`.
    fn make_parents(&mut self, path: &[u8]) {
        let mut dir = names::split(path).0;
        while !dir.is_empty() {
            match self.nodes.get(dir) {
                Some(Node::Entry(_)) => return,
                _ => drop(self.nodes.insert(dir.to_vec(), Node::Entry(None))),
            }
            dir = names::split(dir).0;
        }
    }

    fn is_behind_link(&self, path: &[u8]) -> bool {
        let mut dir = names::split(path).0;
        while !dir.is_empty() {
            let link = |node: &Node| matches!(node, Node::Entry(Some(entry)) if entry.kind == EntryKind::Symlink);
            if self.nodes.get(dir).is_some_and(link) {
                return true;
            }
            dir = names::split(dir).0;
        }
        false
    }

    fn remove_below(&mut self, path: &[u8]) {
        let start = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let below: Vec<_> = self
            .nodes
            .range(start.clone()..)
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(&start))
            .cloned()
            .collect();
        for name in below {
            self.nodes.remove(&name);
        }
    }

    /// Compares with the tree `root`, in the order of paths.
    pub fn differences(&self, root: BorrowedFd<'_>, ignore: Ignore, task: &Task) -> Result<Vec<Difference>> {
        let mut found = BTreeMap::new();
        for (path, node) in &self.nodes {
            task.step(0, 1)?;
            if let Some(what) = self.difference(root, path, node, ignore)? {
                found.insert(path.clone(), what);
            }
        }
        if !self.blurred {
            compare(super::changes::Tree::plain(root), None, Path::new("/"), task, &mut |Change { path, .. }| {
                let name = names::clean(path.as_os_str().as_bytes())?;
                if !self.nodes.contains_key(&name) {
                    found.insert(name, "it is no part of the layer".to_owned());
                }
                Ok(())
            })?;
        }
        let path = |name: &[u8]| Path::new("/").join(names::os(name));
        Ok(found.into_iter().map(|(name, what)| Difference { path: path(&name), what }).collect())
    }

    fn difference(&self, root: BorrowedFd<'_>, path: &[u8], node: &Node, ignore: Ignore) -> Result<Option<String>> {
        let Some(stat) = stat(root, path)? else {
            let device =
                matches!(node, Node::Entry(Some(entry)) if matches!(entry.kind, EntryKind::Char | EntryKind::Block));
            let excused = matches!(node, Node::Any) || (device && ignore.privileged);
            return Ok((!excused).then(|| "it is missing".to_owned()));
        };
        Ok(match node {
            Node::Any => None,
            Node::Whiteout => (!is_whiteout(&stat)).then(|| "it is no whiteout any more".to_owned()),
            Node::Entry(None) => {
                let directory = FileType::from_raw_mode(stat.st_mode).is_dir();
                (!directory).then(|| "it is no directory any more".to_owned())
            }
            Node::Link(target) => {
                let other = if self.is_certain(target) { self::stat(root, target)? } else { Some(stat) };
                let same = other.is_none_or(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino));
                (!same).then(|| "it is another file than what it is linked to".to_owned())
            }
            Node::Entry(Some(entry)) => attributes(root, path, entry, &stat, ignore)?,
        })
    }

    /// Whether what stands at `path` is what one entry made.
    fn is_certain(&self, path: &[u8]) -> bool {
        matches!(self.nodes.get(path), Some(Node::Entry(Some(_))))
    }
}

fn stat(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Stat>> {
    use rustix::io::Errno;
    let (dir, name) = names::split(path);
    let found =
        walk::open_path(root, dir).and_then(|dir| rustix::fs::statat(dir, names::os(name), AtFlags::SYMLINK_NOFOLLOW));
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno).os("fstatat", names::os(path)),
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn attributes(root: BorrowedFd<'_>, path: &[u8], entry: &Entry, stat: &Stat, ignore: Ignore) -> Result<Option<String>> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let wanted = match entry.kind {
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink => FileType::Symlink,
        EntryKind::Char => FileType::CharacterDevice,
        EntryKind::Block => FileType::BlockDevice,
        EntryKind::Fifo => FileType::Fifo,
        _ => FileType::RegularFile,
    };
    let told = |what: String| Ok(Some(what));
    if kind != wanted {
        return told(format!("it is a {kind:?}, and was a {wanted:?}"));
    }
    if kind.is_file() && stat.st_size as u64 != entry.size {
        return told(format!("it has {} bytes, and had {}", stat.st_size, entry.size));
    }
    if !kind.is_symlink() && stat.st_mode & 0o7777 != entry.mode & 0o7777 {
        return told(format!("its mode is {:o}, and was {:o}", stat.st_mode & 0o7777, entry.mode & 0o7777));
    }
    if !ignore.owners && (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        return told(format!("its owner is {}:{}, and was {}:{}", stat.st_uid, stat.st_gid, entry.uid, entry.gid));
    }
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if matches!(entry.kind, EntryKind::Char | EntryKind::Block) && device != entry.device {
        return told(format!("it is device {device:?}, and was {:?}", entry.device));
    }
    let time = Time { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 };
    if !kind.is_dir() && !same_time(time, entry.mtime) {
        return told("its time of change is another".to_owned());
    }
    let (dir, name) = names::split(path);
    let dir = walk::open_path(root, dir).os("openat", names::os(path))?;
    if kind.is_symlink() {
        let target = rustix::fs::readlinkat(&dir, names::os(name), Vec::new()).os("readlinkat", names::os(path))?;
        if target.as_bytes() != entry.link {
            return told("it leads elsewhere".to_owned());
        }
    }
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| changes::counts(key) && !ignore.privileged) {
        let Ok(key) = std::ffi::CString::new(key.clone()) else { continue };
        let found =
            xattr::get(std::os::fd::AsFd::as_fd(&dir), names::os(name), &key).os("lgetxattr", names::os(path))?;
        if found.as_ref() != Some(value) {
            // Where the filesystem has no such attributes, none was made.
            if found.is_none() && !xattr::is_supported(root, &key).os("lgetxattr", names::os(path))? {
                continue;
            }
            return told(format!("its attribute {} is another", key.to_string_lossy()));
        }
    }
    Ok(None)
}

/// Whole seconds are compared where either time has no more.
fn same_time(one: Time, other: Time) -> bool {
    one.seconds == other.seconds && (one.nanos == other.nanos || one.nanos == 0 || other.nanos == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Ingest, ingest};
    use std::io::Cursor;
    use std::os::fd::AsFd;

    /// Name, type, link target, content.
    type Made<'a> = (&'a str, u8, &'a str, &'a str);

    /// An archive of entries.
    fn archive(entries: &[Made<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, target, content) in entries {
            let mut header = [0_u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..108].copy_from_slice(b"0000755\0");
            header[108..116].copy_from_slice(b"0000000\0");
            header[116..124].copy_from_slice(b"0000000\0");
            header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
            header[136..148].copy_from_slice(b"07346545000\0");
            header[156] = *kind;
            header[157..157 + target.len()].copy_from_slice(target.as_bytes());
            header[257..265].copy_from_slice(b"ustar\x0000");
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            out.extend_from_slice(&header);
            out.extend_from_slice(content.as_bytes());
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out.extend_from_slice(&[0; 1024]);
        out
    }

    /// Extracts archives one over the other, spoils the tree, and tells what differs.
    fn differences(archives: &[&[Made<'_>]], spoil: impl FnOnce(&Path)) -> Vec<String> {
        let dir = tempfile::tempdir().expect("dir");
        let root = std::fs::File::open(dir.path()).expect("open");
        let mut expected = Expected::new(Whiteouts::Apply);
        for entries in archives {
            let archive = archive(entries);
            let options = Ingest::new(Whiteouts::Apply);
            ingest(Cursor::new(archive.clone()), root.as_fd(), options, &Task::new("t")).expect("extract");
            expected.add(Cursor::new(archive)).expect("read");
        }
        spoil(dir.path());
        let ignore = Ignore { owners: false, privileged: false };
        let found = expected.differences(root.as_fd(), ignore, &Task::new("t")).expect("compare");
        found.into_iter().map(|difference| difference.path.display().to_string()).collect()
    }

    const BASE: &[Made<'static>] = &[
        ("d/", b'5', "", ""),
        ("d/f", b'0', "", "content"),
        ("d/g", b'1', "d/f", ""),
        ("l", b'2', "d/f", ""),
        ("deep/er/file", b'0', "", "x"),
    ];

    #[test]
    fn a_tree_that_archives_made_is_as_they_say() {
        let above: &[Made<'_>] = &[
            ("d/.wh.f", b'0', "", ""),
            ("d/h", b'0', "", "h"),
            ("deep/.wh..wh..opq", b'0', "", ""),
            ("deep/new", b'0', "", ""),
        ];
        assert_eq!(differences(&[BASE], |_| {}), Vec::<String>::new());
        assert_eq!(differences(&[BASE, above], |_| {}), Vec::<String>::new());
        let twice: &[Made<'_>] = &[("a", b'0', "", "1"), ("a", b'0', "", "22"), ("a/b", b'0', "", "")];
        assert_eq!(differences(&[&twice[..2]], |_| {}), Vec::<String>::new());
        let behind: &[Made<'_>] = &[("dir/", b'5', "", ""), ("s", b'2', "dir", ""), ("s/f", b'0', "", "x")];
        assert_eq!(differences(&[behind], |_| {}), Vec::<String>::new(), "what is put behind a link is nobody's fault");
    }

    #[test]
    fn a_name_that_a_later_archive_replaces_leaves_the_other_names_of_the_file_sound() {
        let linked: &[Made<'_>] = &[("a", b'0', "", "one"), ("b", b'1', "a", ""), ("c", b'1', "b", "")];
        let above: &[Made<'_>] = &[("a", b'0', "", "another")];
        assert_eq!(differences(&[linked], |_| {}), Vec::<String>::new());
        assert_eq!(differences(&[linked, above], |_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_change_of_a_tree_is_told_by_its_path() {
        type Spoil<'a> = (&'a str, &'a dyn Fn(&Path));
        let spoil: [Spoil<'_>; 6] = [
            ("/d/new", &|root| std::fs::write(root.join("d/new"), "x").expect("write")),
            ("/deep/er/file", &|root| std::fs::remove_file(root.join("deep/er/file")).expect("unlink")),
            ("/l", &|root| {
                std::fs::remove_file(root.join("l")).expect("unlink");
                std::os::unix::fs::symlink("d/g", root.join("l")).expect("symlink");
            }),
            ("/d/g", &|root| {
                std::fs::remove_file(root.join("d/g")).expect("unlink");
                std::fs::copy(root.join("d/f"), root.join("d/g")).expect("copy");
            }),
            ("/deep/er/file", &|root| std::fs::write(root.join("deep/er/file"), "y").expect("write")),
            ("/d", &|root| {
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(root.join("d"), std::fs::Permissions::from_mode(0o700)).expect("chmod");
            }),
        ];
        for (path, spoil) in spoil {
            assert_eq!(differences(&[BASE], spoil), [path]);
        }
    }
}
