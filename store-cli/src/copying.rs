//! Copies of files and trees between the host and mounted layers, as an archive that is never written to disk.
//!
//! Every path within a layer is resolved beneath its mount, whatever links are in it. Owners are the container's ids on the
//! way, so what belongs to its root belongs to the other's root afterwards.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use storage_core::archive::{Change, ChangeKind, Ingest, Tree, Whiteouts, ingest, pack, pack_owned_by};
use storage_core::error::OsContext;
use storage_core::fs::beneath::{self, Links};
use storage_core::fs::{FileId, open_directory};
use storage_core::idmap::{Maps, Owner};
use storage_core::mount::in_user_namespace;
use storage_core::{Error, Kind, Result, Task};

/// A path beneath a directory that is held open.
#[derive(Debug)]
pub(crate) struct Place {
    root: OwnedFd,
    path: PathBuf,
    /// The maps with which owners are kept there.
    maps: Maps,
    /// It must be a directory: it was written so.
    wants_directory: bool,
}

impl Place {
    /// `path` in the layer that is mounted at `root`.
    pub(crate) fn in_layer(root: &Path, path: &str, maps: Maps) -> Result<Self> {
        let wants_directory = path.is_empty() || path.ends_with('/');
        let path = PathBuf::from(path.trim_matches('/'));
        Ok(Place { root: open_directory(root)?, path, maps, wants_directory })
    }

    /// `path` on the host. Its links are followed as far as they lead.
    pub(crate) fn on_host(path: &Path) -> Result<Self> {
        let wants_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let there = path.ancestors().find(|above| above.is_dir() && path != *above).unwrap_or(Path::new("/"));
        let rest = path.strip_prefix(there).unwrap_or(path).to_path_buf();
        Ok(Place { root: open_directory(there)?, path: rest, maps: Maps::NONE, wants_directory })
    }

    /// The same place, which is a directory.
    pub(crate) fn into_directory(mut self) -> Self {
        self.wants_directory = true;
        self
    }

    fn is_directory(&self) -> Result<bool> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match beneath::open(self.root.as_fd(), &self.path, flags, Mode::empty(), Links::Beneath) {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd).os("fstat", &self.path)?;
                Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The nearest directory to the place that is there.
    fn nearest(&self) -> Result<OwnedFd> {
        let open = |path| beneath::open_dir(self.root.as_fd(), path, Links::Beneath);
        self.path.ancestors().find_map(|path| open(path).ok()).map_or_else(|| open(Path::new("")), Ok)
    }

    /// The directory `path` beneath the root, made with those above it where it is missing.
    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let mut here = PathBuf::new();
        let mut dir = beneath::open_dir(self.root.as_fd(), &here, Links::Beneath)?;
        for name in path.components() {
            here.push(name);
            match rustix::fs::mkdirat(&dir, name.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let root = self.maps.root()?;
                    let (uid, gid) = (rustix::fs::Uid::from_raw(root.uid), rustix::fs::Gid::from_raw(root.gid));
                    rustix::fs::chownat(&dir, name.as_os_str(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                        .os("fchownat", &here)?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::os("mkdirat", &here, errno)),
            }
            dir = beneath::open_dir(self.root.as_fd(), &here, Links::Beneath)?;
        }
        Ok(dir)
    }
}

/// What is copied.
enum Source {
    /// What is in a directory.
    Tree(OwnedFd),
    /// One entry of a directory; a link is copied as a link.
    Entry(OwnedFd, OsString),
}

impl Source {
    fn of(place: &Place) -> Result<Self> {
        let (Some(name), above) = (place.path.file_name(), place.path.parent().unwrap_or(Path::new(""))) else {
            return Ok(Source::Tree(beneath::open_dir(place.root.as_fd(), &place.path, Links::Beneath)?));
        };
        let dir = beneath::open_dir(place.root.as_fd(), above, Links::Beneath)?;
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).os("fstatat", &place.path)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() || place.wants_directory {
            return Ok(Source::Tree(beneath::open_dir(place.root.as_fd(), &place.path, Links::Beneath)?));
        }
        Ok(Source::Entry(dir, name.to_owned()))
    }
}

/// Copies `from` to `to`: what is in a directory into a directory, which is made where it is missing; anything else into a
/// directory that is there, or as what `to` names. All of it is given to `owner`, if there is one.
pub(crate) fn copy(from: &Place, to: &Place, owner: Option<Owner>, task: &Task) -> Result<()> {
    match Source::of(from)? {
        Source::Tree(tree) => {
            check_not_within(to.nearest()?, &tree, &to.path)?;
            let target = to.directory(&to.path)?;
            stream(Tree { root: tree.as_fd(), maps: &from.maps }, None, owner, target.as_fd(), to, task)
        }
        Source::Entry(dir, name) => {
            let into = to.wants_directory || to.is_directory()?;
            let (target, new_name) = match to.path.file_name() {
                Some(new_name) if !into => (to.path.parent().unwrap_or(Path::new("")), new_name),
                _ => (to.path.as_path(), name.as_os_str()),
            };
            let target = to.directory(target)?;
            let tree = Tree { root: dir.as_fd(), maps: &from.maps };
            place_entry(tree, &name, owner, (target.as_fd(), new_name), to, task)
        }
    }
}

/// Fails when the directory `dir` is `tree` or in it: a copy of a tree into itself has no end.
fn check_not_within(mut dir: OwnedFd, tree: &OwnedFd, path: &Path) -> Result<()> {
    let tree = FileId::of_fd(tree, path)?;
    loop {
        let here = FileId::of_fd(&dir, path)?;
        if here == tree {
            return Err(Error::new(Kind::Usage, "copy").at(path).detail("the directory would be copied into itself"));
        }
        dir = directory_above(&dir, path)?;
        if FileId::of_fd(&dir, path)? == here {
            return Ok(());
        }
    }
}

/// The directory above `dir`.
fn directory_above(dir: &OwnedFd, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, "..", flags, Mode::empty()).os("openat(..)", path)
}

/// Copies one entry beside its place, and puts it there by a rename.
fn place_entry(
    tree: Tree<'_>,
    name: &OsStr,
    owner: Option<Owner>,
    (target, new_name): (BorrowedFd<'_>, &OsStr),
    to: &Place,
    task: &Task,
) -> Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Error::new(Kind::Io, "getrandom").detail(error.to_string()))?;
    let aside = format!(".copy-{:016x}", u64::from_ne_bytes(random));
    rustix::fs::mkdirat(target, &aside, Mode::RWXU).os("mkdirat", &to.path)?;
    let copied = beneath::open_dir(target, Path::new(&aside), Links::Refuse).and_then(|dir| {
        let placed = stream(tree, Some(name), owner, dir.as_fd(), to, task)
            .and_then(|()| rustix::fs::renameat(&dir, name, target, new_name).os("renameat", &to.path));
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(&dir, name, AtFlags::empty());
        }
        placed
    });
    let removed = rustix::fs::unlinkat(target, &aside, AtFlags::REMOVEDIR).os("rmdir", &to.path);
    copied.and(removed)
}

/// Packs the tree, or one entry of it, and extracts that into `target` at the same time.
fn stream(
    tree: Tree<'_>,
    only: Option<&OsStr>,
    owner: Option<Owner>,
    target: BorrowedFd<'_>,
    to: &Place,
    task: &Task,
) -> Result<()> {
    let (input, mut output) = std::io::pipe().os("pipe", "the copy")?;
    let options = Ingest { maps: to.maps.clone(), in_user_ns: in_user_namespace(), ..Ingest::new(Whiteouts::Apply) };
    let packing = || {
        let mut one =
            only.map(|name| Ok(Change { path: Path::new("/").join(name), kind: ChangeKind::Add })).into_iter();
        let changes: Option<&mut dyn Iterator<Item = Result<Change>>> =
            if only.is_some() { Some(&mut one) } else { None };
        match owner {
            Some(owner) => pack_owned_by(owner, tree, changes, &mut output, task),
            None => pack(tree, changes, &mut output, &mut || Ok(()), task),
        }
        .map(|()| drop(output))
    };
    std::thread::scope(|scope| {
        let packed = scope.spawn(packing);
        let extracted = ingest(input, target, options, task);
        match (packed.join(), extracted) {
            // A reader that gave up has the cause.
            (Ok(Err(error)), Err(extracted)) if error.errno() == Some(Errno::PIPE.raw_os_error()) => Err(extracted),
            (Ok(Err(error)), _) => Err(error),
            (Err(_), _) => Err(Error::new(Kind::Io, "copy").detail("the thread that reads has vanished")),
            (Ok(Ok(())), extracted) => extracted.map(drop),
        }
    })
}
