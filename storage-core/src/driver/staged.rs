//! What is being made before it is a layer, and what was one before it is gone.

use std::fmt;
use std::os::fd::OwnedFd;

use super::LayerRef;
use super::recorded::{self, Closed, Closing};
use crate::archive::Whiteouts;
use crate::error::{Error, Kind, Result};
use crate::fs::tempdir::Trashed;
use crate::idmap::Maps;
use crate::ids::LayerId;
use crate::locks::{Exclusive, Shared};
use crate::record::is_on;
use crate::task::Task;

/// Where the root of a layer has its owner and mode from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootFrom {
    /// The archive had an entry for it.
    Archive,
    /// From its parent's.
    Parent,
}

/// A layer in the making: a private place that no record names. Dropping it discards it.
///
/// Everything that grows with the size of the layer happens here, without a store lock (R6).
#[must_use = "a staged layer that is dropped is discarded"]
pub trait Staged: fmt::Debug + Send {
    /// Puts in place what the layer starts with: nothing for a driver that stacks, a copy for one that copies.
    ///
    /// * Called once, before [`Staged::root`]; needs no lock.
    /// * Stops at the next step when the task is cancelled.
    fn fill(&mut self, task: &Task) -> Result<()>;

    /// Puts what was begun without a parent, and is filled, on `parent`, which is there now and is pinned from here on. Asked
    /// only of a driver whose [`super::Driver::parents_may_come_late`]. Constant cost.
    ///
    /// * What follows is as if it had begun on `parent`; `root` says whether the root has its owner and mode already.
    fn settle(&mut self, held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        let _ = (held, parent, root);
        Err(Error::new(Kind::NotSupported, "begin layer").detail("the driver must know the parent of a layer first"))
    }

    /// The directory into which an archive is extracted.
    fn root(&self) -> Result<OwnedFd>;

    /// How the whiteouts of an archive are to be applied in [`Staged::root`].
    fn whiteouts(&self) -> Whiteouts;

    /// The maps with which the owners of an archive are to be kept in [`Staged::root`]: those of the plan.
    fn maps(&self) -> &Maps;

    /// What becomes of an owner of an archive that can't be given, as the driver was told.
    fn refusals(&self) -> Refusals {
        Refusals::Fail
    }

    /// What tells this directory from every other, also after a rename and after a crash: what
    /// [`super::Driver::identity`] will say of the layer once this has taken its place.
    fn identity(&self) -> Result<String>;

    /// Makes this the layer `id`, by a rename.
    ///
    /// * Fails with [`crate::Kind::Changed`] when the staging place or the parent is no longer the one that it began with.
    /// * Fails with [`crate::Kind::DuplicateId`] when `id` has a place already.
    /// * On failure nothing of the layer `id` was made. What is staged then goes when this is dropped, after the lock (R6).
    fn commit(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<()>;

    /// Exchanges this with the content of the layer `id`, atomically, and returns the former content.
    ///
    /// * On failure the layer is as before. What is staged then goes when this is dropped, after the lock (R6).
    fn replace(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>>;
}

/// What becomes of a change of owner that the system refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusals {
    /// It is an error.
    #[default]
    Fail,
    /// The file keeps the owner that it has (the option `ignore_chown_errors`).
    Ignored,
}

/// Content that no record names any more. Dropping it leaves it where it is, for the next writer or `gc` to reclaim.
#[must_use = "trash that is dropped stays until the next writer reclaims it"]
pub trait Trash: fmt::Debug + Send {
    /// Deletes it. Needs no lock, and is safe against others who reclaim the same.
    ///
    /// * While a view of the content is open in a process of Lamina's, it is left for later without an error.
    fn reclaim(self: Box<Self>, task: &Task) -> Result<()>;
}

/// A directory in trash, or nothing at all.
impl Trash for Option<Trashed> {
    fn reclaim(self: Box<Self>, task: &Task) -> Result<()> {
        self.map_or(Ok(()), |trashed| trashed.reclaim(task))
    }
}

/// Descriptors of a mount that has just lost its path. The kernel flushes the upper filesystem when the last of them is
/// closed, so it is dropped after the locks are released (R6).
#[derive(Debug, Default)]
#[must_use = "drop it after the locks are released: closing may wait for a flush"]
pub struct Detached {
    /// Around the descriptors, which are closed between the drops of the two.
    closing: Option<Closing>,
    mounts: Vec<OwnedFd>,
    closed: Option<Closed>,
}

impl Detached {
    /// Keeps `mounts` open until it is dropped.
    pub fn new(mounts: Vec<OwnedFd>) -> Self {
        Detached { mounts, ..Detached::default() }
    }

    /// The same, with its end noted while a recording goes on.
    pub(super) fn recorded(mut self, layer: Option<&str>) -> Self {
        if self.any() && is_on() {
            let (closing, closed) = recorded::around("close mount", layer);
            (self.closing, self.closed) = (Some(closing), Some(closed));
        }
        self
    }

    /// The descriptors, to carry them across the border to plugins.
    pub(crate) fn into_mounts(self) -> Vec<OwnedFd> {
        self.mounts
    }

    /// Whether there was a mount to take away.
    pub fn any(&self) -> bool {
        !self.mounts.is_empty()
    }
}
