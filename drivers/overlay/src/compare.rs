//! How a layer differs from its parent, at the cost of what differs.
//!
//! The layer's own directory names every path that can differ; what is with each is decided by looking at the merged view
//! of the layer and that of its parent, exactly as a walk over both would. So whiteouts of every kind, files copied up
//! without data and touched directories need no rules of their own. Where the kernel shows a directory's content from
//! elsewhere or hides what is below (a redirect, an opaque directory), the two views are walked from there.
//!
//! A layer that was compared with another than its parent, or has changes in several directories, is compared by walking
//! both views from the root.

use std::ffi::{CStr, OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;
use storage_core::archive::{self, Change, ChangeKind, Tree};
use storage_core::driver::{Comparison, Homes, LayerRef, OwnerMaps, Pin, pack_changes, size_of_changes};
use storage_core::error::{OsContext, Result};
use storage_core::fs::{Ladder, entries, xattr};
use storage_core::mount::read_only_clone;
use storage_core::task::Task;

use crate::chain::Parts;
use crate::home::Home;
use crate::part::Part;
use crate::view::{Way, pins, stack};

/// What makes a directory of changes more than a list of names.
const MARKS: &[&CStr] =
    &[c"trusted.overlay.opaque", c"trusted.overlay.redirect", c"user.overlay.opaque", c"user.overlay.redirect"];

/// A layer and what it is compared with, as views, and the layer's own directory where that is enough to know where to look.
#[derive(Debug)]
pub(crate) struct Compared {
    path: PathBuf,
    own: Option<OwnedFd>,
    new: OwnedFd,
    old: Option<OwnedFd>,
    maps: OwnerMaps,
    pins: Vec<Box<dyn Pin>>,
}

impl Compared {
    pub(crate) fn new(
        homes: &Homes<Home>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
        way: Way,
    ) -> Result<Self> {
        let mut parts = Parts::default();
        let chain = parts.chain(homes, layer)?;
        let below = base.map(|base| parts.chain(homes, base)).transpose()?;
        let path = homes.of(layer.home)?.diff(&layer.id);
        let own = match (&below, chain.first()) {
            (Some(below), Some(top)) if is_just_below(&chain, below) && top.is_single() => {
                Some(read_only_clone(&path, Some(top.diff_id()), way.features)?)
            }
            _ => None,
        };
        let mut pins = pins(&parts, &chain)?;
        let new = stack(homes, &chain, maps.below_layer.as_ref(), way, &mut pins)?;
        let old = match below.as_deref() {
            Some(below) => Some(stack(homes, below, maps.below_base.as_ref(), way, &mut pins)?),
            None => None,
        };
        Ok(Compared { path, own, new, old, maps: maps.clone(), pins })
    }

    fn tree(&self) -> Tree<'_> {
        Tree { root: self.new.as_fd(), maps: &self.maps.layer }
    }

    fn trees(&self) -> (Tree<'_>, Option<Tree<'_>>) {
        (self.tree(), self.old.as_ref().map(|old| Tree { root: old.as_fd(), maps: &self.maps.base }))
    }
}

/// Whether `below` is all that the first of `chain` stands on.
fn is_just_below(chain: &[Arc<Part>], below: &[Arc<Part>]) -> bool {
    chain[1..].iter().map(|part| &part.layer).eq(below.iter().map(|part| &part.layer))
}

impl Comparison for Compared {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let (new, old) = self.trees();
        match &self.own {
            Some(own) if !is_marked(own.as_fd(), OsStr::new("."), &self.path)? => {
                let own = rustix::fs::openat(own, ".", OPEN, rustix::fs::Mode::empty()).os("openat(.)", &self.path)?;
                let ladder = Ladder::new(own, &self.path)?;
                Walk { ladder, new, old, here: PathBuf::from("/"), reported: Vec::new(), task, each }.run()
            }
            _ => archive::compare(new, old, Path::new("/"), task, each),
        }
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        if self.old.is_none() {
            return archive::pack(self.tree(), None, out, before_end, task);
        }
        pack_changes(self, self.tree(), out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        size_of_changes(self, self.new.as_fd(), task)
    }

    fn check(&self) -> Result<()> {
        self.pins.iter().try_for_each(|pin| pin.check())
    }
}

const OPEN: rustix::fs::OFlags = rustix::fs::OFlags::RDONLY
    .union(rustix::fs::OFlags::DIRECTORY)
    .union(rustix::fs::OFlags::NOFOLLOW)
    .union(rustix::fs::OFlags::CLOEXEC);

/// A walk over the layer's own directory.
struct Walk<'a> {
    ladder: Ladder,
    new: Tree<'a>,
    old: Option<Tree<'a>>,
    /// Where the ladder stands, from the root of the tree.
    here: PathBuf,
    /// For each directory from the root's entries down to `here`, whether it was reported.
    reported: Vec<bool>,
    task: &'a Task,
    each: &'a mut dyn FnMut(Change) -> Result<()>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<()> {
        let mut pending = vec![self.names()?];
        while let Some(names) = pending.last_mut() {
            if let Some((name, kind)) = names.pop() {
                if self.entry(&name, kind)? {
                    pending.push(self.names()?);
                }
                continue;
            }
            pending.pop();
            if self.ladder.ascend()?.is_some() {
                self.here.pop();
                self.reported.pop();
            }
        }
        Ok(())
    }

    /// What the current directory holds, the last name first.
    fn names(&self) -> Result<Vec<(OsString, FileType)>> {
        let mut found = entries(self.ladder.here(), &self.ladder.path_of(OsStr::new(".")))?;
        found.sort_unstable_by(|one, other| other.0.as_bytes().cmp(one.0.as_bytes()));
        Ok(found)
    }

    /// Decides one name. `true` when the walk now stands in the directory of that name.
    fn entry(&mut self, name: &OsStr, kind: FileType) -> Result<bool> {
        self.task.step(0, 1)?;
        let path = self.here.join(name);
        let mut difference = archive::compare_paths(self.new, self.old, &path)?;
        if difference.is_none() && kind == FileType::RegularFile {
            // It was copied up for a reason: an edit may have kept size and time.
            let same = archive::same_content(self.new.root, self.old.map(|old| old.root), &path, self.task)?;
            difference = (!same).then_some(ChangeKind::Modify);
        }
        if kind != FileType::Directory {
            difference.map_or(Ok(()), |kind| self.report(path, kind))?;
            return Ok(false);
        }
        let merges = !matches!(difference, Some(ChangeKind::Add | ChangeKind::Delete))
            && !is_marked(self.ladder.here(), name, &path)?;
        if !merges {
            self.subtree(&path)?;
            return Ok(false);
        }
        if let Some(kind) = difference {
            self.report(path.clone(), kind)?;
        }
        self.ladder.descend(name)?;
        self.here = path;
        self.reported.push(difference.is_some());
        Ok(true)
    }

    /// Walks both views from `path` down.
    fn subtree(&mut self, path: &Path) -> Result<()> {
        let (new, old, task) = (self.new, self.old, self.task);
        archive::compare(new, old, path, task, &mut |change| self.report(change.path, change.kind))
    }

    /// Reports a change, after the directories above it that were not reported yet.
    fn report(&mut self, path: PathBuf, kind: ChangeKind) -> Result<()> {
        for depth in 0..self.reported.len() {
            if !std::mem::replace(&mut self.reported[depth], true) {
                let above: PathBuf = self.here.components().take(depth + 2).collect();
                (self.each)(Change { path: above, kind: ChangeKind::Modify })?;
            }
        }
        (self.each)(Change { path, kind })
    }
}

/// Whether the kernel shows something else in a directory than what it and those of the same path below it hold.
fn is_marked(dir: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<bool> {
    for key in MARKS {
        if xattr::get(dir, name, key).os("lgetxattr", path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
