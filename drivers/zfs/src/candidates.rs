//! Where a layer can differ from its parent, as `zfs diff` says.
//!
//! `zfs diff` compares a clone with the snapshot that it was made from, and wants the datasets of both mounted where it
//! runs. So it runs in a mount namespace of its own, where nobody else sees those mounts.
//!
//! Its answer is a list of candidates only: what is with each, both trees decide. It names one path of a changed file;
//! where the file has several names the answer is not used. A directory whose entries changed is named, so names that
//! came or went are found by looking at it in both trees.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::beneath::{self, Links};
use storage_core::mount::{Features, in_private_namespace, mounts_here};

use crate::datasets::Datasets;
use crate::diff_lines::Named;
use crate::mounting::attach;
use crate::view::view_flags;

/// What is to be compared.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) datasets: &'a Datasets,
    /// The names of the layer's dataset and of its parent's, both with a snapshot called `snapshot`.
    pub(crate) layer: &'a str,
    pub(crate) parent: &'a str,
    pub(crate) snapshot: &'a str,
    /// The whole name of the parent's snapshot that the layer was cloned from.
    pub(crate) origin: &'a str,
    /// An empty directory, over which something is mounted in a namespace of its own.
    pub(crate) place: &'a Path,
    pub(crate) features: Features,
}

impl Question<'_> {
    /// Asks what changed in the layer since it was cloned, and in its parent since then.
    pub(crate) fn ask(&self) -> Result<Named> {
        let (layer, parent) = (self.datasets.path(self.layer)?, self.datasets.path(self.parent)?);
        in_private_namespace(|| {
            let nothing = MsFlags::empty();
            mount(Some("tmpfs"), self.place, Some("tmpfs"), nothing, Some("mode=0700"))
                .os("mount(tmpfs)", self.place)?;
            let (new, old) = (self.place.join("layer"), self.place.join("parent"));
            for (dataset, target) in [(&layer, &new), (&parent, &old)] {
                DirBuilder::new().create(target).os("mkdir", target)?;
                attach(dataset, target, &view_flags(), self.features)?;
            }
            let mut named = Named::default();
            let to = |dataset: &str| format!("{dataset}@{}", self.snapshot);
            for dataset in [&layer, &parent] {
                named.read(&self.datasets.diff(self.origin, &to(dataset))?, &shown_below(dataset)?)?;
            }
            Ok(named)
        })
    }
}

/// The mount point that `zfs diff` puts before all paths: that of the first mount of the dataset. Somebody else may have it
/// mounted too.
fn shown_below(dataset: &str) -> Result<PathBuf> {
    let first = mounts_here()?.into_iter().find(|mount| mount.filesystem == "zfs" && mount.source == dataset);
    let place = first.map(|mount| mount.mount_point);
    place.ok_or_else(|| Error::new(Kind::Changed, "compare snapshots").at(dataset).detail("it is not mounted any more"))
}

/// All paths that have to be looked at, in order: what was named, what came or went in directories that were named, and
/// all directories above. `None` when a file of several names is among them.
pub(crate) fn complete(named: Named, new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<Option<BTreeSet<PathBuf>>> {
    let mut paths = named.paths;
    for directory in &named.directories {
        let (before, after) = (entries(old, directory)?, entries(new, directory)?);
        if let (Some(before), Some(after)) = (before, after) {
            let differs = |name: &&OsString| before.get(*name) != after.get(*name);
            paths.extend(before.keys().chain(after.keys()).filter(differs).map(|name| directory.join(name)));
        }
    }
    for path in &paths {
        for tree in [new, old] {
            if stat(tree, path)?.is_some_and(|stat| stat.st_nlink > 1 && !is_directory(&stat)) {
                return Ok(None);
            }
        }
    }
    let above: Vec<PathBuf> = paths.iter().flat_map(|path| path.ancestors().skip(1).map(Path::to_path_buf)).collect();
    paths.extend(above);
    paths.remove(Path::new("/"));
    Ok(Some(paths))
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// What stands at a path of a tree, without following links.
pub(crate) fn stat(tree: BorrowedFd<'_>, path: &Path) -> Result<Option<Stat>> {
    let Some((dir, name)) = path.parent().zip(path.file_name()) else {
        return rustix::fs::fstat(tree).map(Some).os("fstat", path);
    };
    let Some(dir) = open(tree, dir)? else { return Ok(None) };
    match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).os("fstatat", path),
    }
}

/// The names in a directory and what each is the name of; `None` when no directory stands there.
fn entries(tree: BorrowedFd<'_>, path: &Path) -> Result<Option<BTreeMap<OsString, u64>>> {
    let Some(dir) = open(tree, path)? else { return Ok(None) };
    let mut found = BTreeMap::new();
    for entry in Dir::read_from(dir.as_fd()).os("read directory", path)? {
        let entry = entry.os("read directory", path)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            found.insert(name.to_owned(), entry.ino());
        }
    }
    Ok(Some(found))
}

fn open(tree: BorrowedFd<'_>, path: &Path) -> Result<Option<std::os::fd::OwnedFd>> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    match beneath::open_dir(tree, relative, Links::Refuse) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Escape) => Ok(None),
        Err(error) => Err(error),
    }
}
