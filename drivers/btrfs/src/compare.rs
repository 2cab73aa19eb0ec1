//! How a layer differs from another, at the cost of what differs.
//!
//! Both are snapshotted, once somebody asks and no lock is held, so what is told is one moment of each. The kernel then
//! names every path that may differ, and both trees decide. Where it may not be asked, or says what isn't understood, both
//! trees are walked; where nothing can be snapshotted, the layers themselves are.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use storage_core::archive::{self, Change, Tree};
use storage_core::driver::{Comparison, OwnerMaps, Pin, PinnedDir, pack_changes, size_of_changes};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::{TempDir, TempDirs, open_directory};
use storage_core::mount::read_only_clone;
use storage_core::sys::btrfs::{self, Writing};
use storage_core::task::Task;

use crate::decide::decide;
use crate::driver::Ways;
use crate::send::candidates;
use crate::snapshot;

/// A layer and what it is compared with, held.
#[derive(Debug)]
pub(crate) struct Compared {
    new: PinnedDir,
    old: Option<PinnedDir>,
    maps: OwnerMaps,
    ways: Ways,
    /// Where snapshots may stand meanwhile.
    dirs: TempDirs,
    trees: Mutex<Option<Arc<Trees>>>,
}

/// The trees that are looked at.
#[derive(Debug)]
pub(crate) struct Trees {
    new: OwnedFd,
    old: Option<OwnedFd>,
    /// The snapshots, where they are some.
    place: Option<TempDir>,
}

impl Compared {
    pub(crate) fn new(new: PinnedDir, old: Option<PinnedDir>, maps: OwnerMaps, ways: Ways, dirs: TempDirs) -> Self {
        Compared { new, old, maps, ways, dirs, trees: Mutex::new(None) }
    }

    fn trees(&self) -> Result<Arc<Trees>> {
        let mut trees = self.trees.lock();
        if let Some(trees) = &*trees {
            return Ok(Arc::clone(trees));
        }
        let made = match self.snapshots() {
            Ok(Some(made)) => made,
            // A disk without room for a snapshot still has what there is to see.
            Err(error) if !matches!(error.kind(), Kind::NoSpace | Kind::ReadOnlyStore | Kind::Permission) => {
                return Err(error);
            }
            Ok(None) | Err(_) => self.layers_themselves()?,
        };
        Ok(Arc::clone(trees.insert(Arc::new(made))))
    }

    fn snapshots(&self) -> Result<Option<Trees>> {
        if !self.ways.snapshots {
            return Ok(None);
        }
        let place = self.dirs.create()?;
        let take = |origin: &PinnedDir, name: &str| -> Result<Option<OwnedFd>> {
            if !snapshot::take(origin, &place.path(), name, Writing::Refused)? || snapshot::has_nested(origin)? {
                return Ok(None);
            }
            open_directory(&place.path().join(name)).map(Some)
        };
        let Some(new) = take(&self.new, "new")? else { return Ok(None) };
        let old = match &self.old {
            None => None,
            Some(old) => match take(old, "old")? {
                None => return Ok(None),
                some => some,
            },
        };
        Ok(Some(Trees { new, old, place: Some(place) }))
    }

    fn layers_themselves(&self) -> Result<Trees> {
        let clone = |pin: &PinnedDir| read_only_clone(pin.path(), Some(pin.id()), self.ways.features);
        Ok(Trees { new: clone(&self.new)?, old: self.old.as_ref().map(clone).transpose()?, place: None })
    }

    fn tree<'a>(&'a self, trees: &'a Trees) -> Tree<'a> {
        Tree { root: trees.new.as_fd(), maps: &self.maps.layer }
    }

    fn base<'a>(&'a self, trees: &'a Trees) -> Option<Tree<'a>> {
        trees.old.as_ref().map(|old| Tree { root: old.as_fd(), maps: &self.maps.base })
    }

    /// The changes as the kernel helps to find them; `None` where it may not be asked or a file has too many names.
    pub(crate) fn sent(&self, trees: &Trees, task: &Task) -> Result<Option<Vec<Change>>> {
        // Owners that are kept differently differ at every path, or at none.
        if self.maps.layer != self.maps.base {
            return Ok(None);
        }
        let (Some(old), Some(_), true) = (self.base(trees), &trees.place, self.ways.send) else { return Ok(None) };
        let number = btrfs::info(old.root).os("ioctl(BTRFS_IOC_GET_SUBVOL_INFO)", "/")?.id;
        let candidates = candidates(trees.new.as_fd(), number, task)?;
        decide(self.tree(trees), old, candidates, task)
    }

    /// The changes by the kernel's stream alone. Fails where they would have to be walked for.
    pub(crate) fn changes_by_send(&self, task: &Task) -> Result<Vec<Change>> {
        let trees = self.trees()?;
        self.sent(&trees, task)?.ok_or_else(|| Error::new(Kind::NotSupported, "send changes"))
    }
}

impl Comparison for Compared {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let trees = self.trees()?;
        match self.sent(&trees, task) {
            Ok(Some(changes)) => changes.into_iter().try_for_each(each),
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Changed) => Err(error),
            Ok(None) | Err(_) => archive::compare(self.tree(&trees), self.base(&trees), Path::new("/"), task, each),
        }
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        let trees = self.trees()?;
        if self.old.is_none() {
            return archive::pack(self.tree(&trees), None, out, before_end, task);
        }
        pack_changes(self, self.tree(&trees), out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        let trees = self.trees()?;
        size_of_changes(self, trees.new.as_fd(), task)
    }

    fn check(&self) -> Result<()> {
        self.new.check()?;
        self.old.as_ref().map_or(Ok(()), Pin::check)
    }
}
