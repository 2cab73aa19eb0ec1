//! A tree of files as data, to be compared entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Everything about one entry that an archive can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of content, in nanoseconds.
    pub mtime: i128,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path, in order, of the same inode, for what isn't a directory and has several names.
    pub same_as: Option<PathBuf>,
}

/// The type of an entry and what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file: size and digest.
    File(u64, String),
    /// A symbolic link and its target.
    Link(PathBuf),
    /// A device: block or character, with its number.
    Device(char, u64),
    /// A pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A tree by path relative to its root; the root itself is the empty path.
pub type Tree = BTreeMap<PathBuf, Entry>;

/// Reads a whole tree.
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut seen = BTreeMap::new();
    visit(root, Path::new(""), &mut tree, &mut seen);
    tree
}

fn visit(root: &Path, at: &Path, tree: &mut Tree, seen: &mut BTreeMap<(u64, u64), PathBuf>) {
    let path = root.join(at);
    let meta = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("stat {}: {error}", path.display()));
    let mut same_as = None;
    if !meta.is_dir() && meta.nlink() > 1 {
        same_as = Some(seen.entry((meta.dev(), meta.ino())).or_insert_with(|| at.to_path_buf()).clone());
    }
    let entry = Entry {
        kind: kind(&path, &meta),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        xattrs: xattrs(&path),
        same_as,
    };
    tree.insert(at.to_path_buf(), entry);
    if meta.is_dir() {
        let mut names: Vec<_> = fs::read_dir(&path)
            .unwrap_or_else(|error| panic!("list {}: {error}", path.display()))
            .map(|entry| entry.expect("list a directory").file_name())
            .collect();
        names.sort();
        for name in &names {
            visit(root, &at.join(name), tree, seen);
        }
    }
}

fn kind(path: &Path, meta: &fs::Metadata) -> Kind {
    let file_type = meta.file_type();
    if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_symlink() {
        Kind::Link(fs::read_link(path).expect("read a link"))
    } else if file_type.is_block_device() {
        Kind::Device('b', meta.rdev())
    } else if file_type.is_char_device() {
        Kind::Device('c', meta.rdev())
    } else if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_socket() {
        Kind::Socket
    } else {
        Kind::File(meta.len(), digest_of(path))
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub fn digest_of(path: &Path) -> String {
    let mut hash = Sha256::new();
    let mut file = fs::File::open(path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    std::io::copy(&mut file, &mut hash).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    format!("{:x}", hash.finalize())
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0_u8; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("list xattrs");
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0_u8; 65536];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).expect("read an xattr");
        value.truncate(length);
        (name.to_vec(), value)
    };
    names.map(value).collect()
}

/// The differences of two trees, one a line; empty if they are equal.
pub fn differences(left: &Tree, right: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, entry) in left {
        match right.get(path) {
            None => lines.push(format!("only the first has /{}", path.display())),
            Some(other) if other != entry => {
                lines.push(format!("/{} differs:\n   first  {entry:?}\n   second {other:?}", path.display()));
            }
            Some(_) => {}
        }
    }
    let missing = right.keys().filter(|path| !left.contains_key(*path));
    lines.extend(missing.map(|path| format!("only the second has /{}", path.display())));
    lines
}

/// Fails unless both trees are the same in every entry below the root: the reference leaves the root to its driver, and
/// passes an archive's entry for `.` over.
#[track_caller]
pub fn assert_same_below_root(what: &str, left: &Tree, right: &Tree) {
    let below = |tree: &Tree| {
        let mut tree = tree.clone();
        tree.remove(Path::new("")).expect("a tree has a root");
        tree
    };
    assert_same(what, &below(left), &below(right));
}

/// Fails unless both trees are the same in every entry.
#[track_caller]
pub fn assert_same(what: &str, left: &Tree, right: &Tree) {
    let lines = differences(left, right);
    let shown = lines.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(lines.is_empty(), "{what}: {} differences\n{shown}", lines.len());
}

/// Fails unless both trees are the same but for the times of directories.
#[track_caller]
pub fn assert_same_but_directory_times(what: &str, left: &Tree, right: &Tree) {
    let without = |tree: &Tree| {
        let mut tree = tree.clone();
        tree.values_mut().filter(|entry| entry.kind == Kind::Directory).for_each(|entry| entry.mtime = 0);
        tree
    };
    assert_same(what, &without(left), &without(right));
}

/// What `changes` must say about `child` over `parent`: an addition for each new path, a deletion for the topmost path
/// that is gone, a modification for what differs and for each directory below which something changed.
pub fn changes(parent: &Tree, child: &Tree) -> Vec<String> {
    let added: Vec<&PathBuf> = child.keys().filter(|path| !parent.contains_key(*path)).collect();
    let in_a_directory = |path: &Path| {
        let above = path.parent().and_then(|above| child.get(above));
        above.is_some_and(|entry| entry.kind == Kind::Directory)
    };
    let gone: Vec<&PathBuf> = parent.keys().filter(|path| !child.contains_key(*path) && in_a_directory(path)).collect();
    let content = |entry: &Entry| {
        let mtime = if entry.kind == Kind::Directory { 0 } else { entry.mtime };
        Entry { same_as: None, mtime, ..entry.clone() }
    };
    let edited = child.iter().filter(|(path, new)| parent.get(*path).is_some_and(|old| content(old) != content(new)));
    let edited: Vec<&PathBuf> = edited.map(|(path, _)| path).collect();

    let above = added.iter().chain(&gone).chain(&edited).flat_map(|path| path.ancestors().skip(1));
    let modified = above.chain(edited.iter().map(|path| path.as_path()));
    let modified: BTreeSet<&Path> =
        modified.filter(|path| parent.contains_key(*path) && !path.as_os_str().is_empty()).collect();
    let line = |kind: char, path: &Path| format!("{kind} /{}", path.display());
    let mut lines: Vec<String> = added.iter().map(|path| line('A', path)).collect();
    lines.extend(gone.iter().map(|path| line('D', path)));
    lines.extend(modified.iter().map(|path| line('C', path)));
    lines.sort();
    lines
}

/// Everything below a directory that must not change when a call is refused: type, mode, owner, size, times of files.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(root, root, &mut lines);
    lines
}

fn list(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("list a directory").path()).collect();
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).expect("stat in a store");
        let name = path.strip_prefix(root).expect("a path below the root").display().to_string();
        let (mode, uid, gid, ino) = (meta.mode(), meta.uid(), meta.gid(), meta.ino());
        let times = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        let size = if meta.is_dir() { 0 } else { meta.len() };
        lines.push(format!("{name} {mode:o} {uid}:{gid} inode {ino} size {size} {times:?}"));
        if meta.is_dir() {
            list(root, &path, lines);
        }
    }
}
