//! Handles of a faulty driver.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use storage_core::Result;
use storage_core::archive::{Change, Whiteouts};
use storage_core::driver::{Comparison, Exclusive, LayerRef, Refusals, RootFrom, Shared, Staged, Trash};
use storage_core::idmap::Maps;
use storage_core::ids::LayerId;
use storage_core::task::Task;

use crate::Fault;
use crate::misdeeds::{Mark, Store, copy_a_lot, detach};

/// For how long a lock is kept that is nobody's to keep.
const KEPT: Duration = Duration::from_millis(40);

/// A staged layer of a faulty driver.
#[derive(Debug)]
pub(crate) struct FaultyStaged {
    pub(crate) inner: Box<dyn Staged>,
    pub(crate) fault: Fault,
    pub(crate) store: Store,
    pub(crate) scrap: PathBuf,
    /// What says that it is being made.
    pub(crate) _mark: Option<Mark>,
}

impl Staged for FaultyStaged {
    fn fill(&mut self, task: &Task) -> Result<()> {
        if self.fault == Fault::HoldsALockWhileExtracting
            && let Some(hold) = self.store.take_layers_lock()
        {
            std::thread::spawn(move || {
                std::thread::sleep(KEPT);
                drop(hold);
            });
        }
        self.inner.fill(task)
    }

    fn settle(&mut self, held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        self.inner.settle(held, parent, root)
    }

    fn root(&self) -> Result<OwnedFd> {
        self.inner.root()
    }

    fn whiteouts(&self) -> Whiteouts {
        self.inner.whiteouts()
    }

    fn maps(&self) -> &Maps {
        self.inner.maps()
    }

    fn refusals(&self) -> Refusals {
        self.inner.refusals()
    }

    fn identity(&self) -> Result<String> {
        self.inner.identity()
    }

    fn commit(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        match self.fault {
            Fault::WritesRecords => self.store.rewrite_records(),
            Fault::CopiesUnderTheLock => copy_a_lot(&self.scrap),
            _ => {}
        }
        self.inner.commit(held, id)
    }

    fn replace(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        self.inner.replace(held, id)
    }
}

/// A comparison of a faulty driver.
#[derive(Debug)]
pub(crate) struct FaultyComparison {
    pub(crate) inner: Box<dyn Comparison>,
    /// What it attached.
    pub(crate) point: Option<PathBuf>,
    /// What it kept of its caller's.
    pub(crate) _kept: Option<OwnedFd>,
}

impl Comparison for FaultyComparison {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        self.inner.changes(task, each)
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        self.inner.pack(out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        self.inner.size(task)
    }

    fn check(&self) -> Result<()> {
        self.inner.check()
    }
}

impl Drop for FaultyComparison {
    fn drop(&mut self) {
        if let Some(point) = &self.point {
            detach(point);
        }
    }
}
