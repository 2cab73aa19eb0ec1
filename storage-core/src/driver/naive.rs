//! The comparison that works for every driver: a walk over two views.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::{Comparison, OwnerMaps, View};
use crate::archive::{self, Change, ChangeKind, Tree, walk};
use crate::error::{OsContext, Result};
use crate::fs::FileId;
use crate::task::Task;

/// Two views, or one and nothing.
#[derive(Debug)]
pub struct Naive {
    new: View,
    old: Option<View>,
    maps: OwnerMaps,
}

impl Naive {
    /// How `new` differs from `old`, or from nothing.
    pub fn new(new: View, old: Option<View>, maps: OwnerMaps) -> Self {
        Naive { new, old, maps }
    }

    fn tree(&self) -> Tree<'_> {
        Tree { root: self.new.root(), maps: &self.maps.layer }
    }
}

impl Comparison for Naive {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let old = self.old.as_ref().map(|old| Tree { root: old.root(), maps: &self.maps.base });
        archive::compare(self.tree(), old, Path::new("/"), task, each)
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        if self.old.is_none() {
            return archive::pack(self.tree(), None, out, before_end, task);
        }
        pack_changes(self, self.tree(), out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        size_of_changes(self, self.new.root(), task)
    }

    fn check(&self) -> Result<()> {
        self.new.check()?;
        self.old.as_ref().map_or(Ok(()), View::check)
    }
}

/// Packs the changes of a comparison, with the content that `tree` has.
pub fn pack_changes(
    comparison: &dyn Comparison,
    tree: Tree<'_>,
    out: &mut dyn Write,
    before_end: &mut dyn FnMut() -> Result<()>,
    task: &Task,
) -> Result<()> {
    let mut changes = Vec::new();
    comparison.changes(task, &mut |change| {
        changes.push(Ok(change));
        Ok(())
    })?;
    archive::pack(tree, Some(&mut changes.into_iter()), out, before_end, task)
}

/// The bytes of what a comparison says was added or modified, as the tree `root` has it. Each inode counts once, and
/// directories don't.
pub fn size_of_changes(comparison: &dyn Comparison, root: BorrowedFd<'_>, task: &Task) -> Result<u64> {
    let mut count = Count { root, parent: None, seen: HashSet::new(), bytes: 0 };
    comparison.changes(task, &mut |change| count.add(&change))?;
    Ok(count.bytes)
}

struct Count<'a> {
    root: BorrowedFd<'a>,
    /// The directory of the last change: the next one mostly lies in it too.
    parent: Option<(PathBuf, OwnedFd)>,
    seen: HashSet<FileId>,
    bytes: u64,
}

impl Count<'_> {
    fn add(&mut self, change: &Change) -> Result<()> {
        let relative = change.path.strip_prefix("/").unwrap_or(&change.path);
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else { return Ok(()) };
        if change.kind == ChangeKind::Delete {
            return Ok(());
        }
        let dir = match self.parent.take() {
            Some((path, dir)) if path == parent => dir,
            _ => walk::open_path(self.root, parent.as_os_str().as_bytes()).os("openat2", parent)?,
        };
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).os("fstatat", &change.path)?;
        self.parent = Some((parent.to_path_buf(), dir));
        let is_new = stat.st_nlink < 2 || self.seen.insert(FileId { dev: stat.st_dev, ino: stat.st_ino });
        if is_new && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            self.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
        Ok(())
    }
}

impl fmt::Debug for Count<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Count").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
