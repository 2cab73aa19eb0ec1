//! A layer that a plugin is making.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use super::super::codes::Coded;
use super::super::table::{Call, RawStaged};
use super::super::text::Str;
use super::answers::{self, Opened};
use super::handles::LoadedTrash;
use super::plugin::function;
use super::values;
use crate::archive::Whiteouts;
use crate::driver::{Exclusive, LayerRef, Refusals, RootFrom, Shared, Staged, Trash};
use crate::error::{Error, Kind, Result};
use crate::idmap::Maps;
use crate::ids::LayerId;
use crate::task::Task;

#[derive(Debug)]
pub(super) struct LoadedStaged {
    opened: Arc<Opened>,
    raw: NonNull<RawStaged>,
    maps: Maps,
    whiteouts: Whiteouts,
    refusals: Refusals,
}

// SAFETY: the header asks of plugins that a handle may be used by any thread, one after the other.
unsafe impl Send for LoadedStaged {}

impl LoadedStaged {
    pub(super) fn new(opened: &Arc<Opened>, raw: *mut RawStaged, maps: Maps) -> Result<Self> {
        let raw = answers::handle(opened.plugin, "begin", raw)?;
        let opened = Arc::clone(opened);
        // From here on it is discarded when something fails.
        let mut staged = LoadedStaged { opened, raw, maps, whiteouts: Whiteouts::Apply, refusals: Refusals::default() };
        let table = &staged.opened.plugin.table;
        staged.whiteouts = staged.word("staged_whiteouts", table.staged_whiteouts, Whiteouts::Apply)?;
        staged.refusals = staged.word("staged_refusals", table.staged_refusals, Refusals::Fail)?;
        Ok(staged)
    }

    /// What a function that answers with the number of a word says; `missing` where it is missing.
    fn word<W: Coded>(
        &self,
        operation: &'static str,
        function: Option<unsafe extern "C" fn(*mut RawStaged, *const Call, *mut i32) -> i32>,
        missing: W,
    ) -> Result<W> {
        let Some(function) = function else { return Ok(missing) };
        let (plugin, mut code) = (self.opened.plugin, -1);
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::nothing(plugin, operation, None, |call| unsafe { function(self.raw.as_ptr(), call, &mut code) })?;
        W::of(code).ok_or_else(|| plugin.fault(operation, format!("it answered {code}, which stands for nothing")))
    }
}

impl Staged for LoadedStaged {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let fill = function!(self.opened.plugin, staged_fill);
        // SAFETY: the handle is whole.
        answers::nothing(self.opened.plugin, "staged_fill", Some(task), |call| unsafe { fill(self.raw.as_ptr(), call) })
    }

    fn settle(&mut self, _held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        let Some(settle) = self.opened.plugin.table.staged_settle else {
            let detail = "the driver must know the parent of a layer first";
            return Err(Error::new(Kind::NotSupported, "begin layer").detail(detail));
        };
        answers::nothing(self.opened.plugin, "staged_settle", None, |call| {
            // SAFETY: the handle is whole, and the rest lives as long as the call.
            values::layer(parent, |parent| unsafe { settle(self.raw.as_ptr(), call, parent, root.code()) })
        })
    }

    fn root(&self) -> Result<OwnedFd> {
        let (root, mut number) = (function!(self.opened.plugin, staged_root), -1);
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::nothing(self.opened.plugin, "staged_root", None, |call| unsafe {
            root(self.raw.as_ptr(), call, &mut number)
        })?;
        answers::directory(self.opened.plugin, "staged_root", number)
    }

    fn whiteouts(&self) -> Whiteouts {
        self.whiteouts
    }

    fn maps(&self) -> &Maps {
        &self.maps
    }

    fn refusals(&self) -> Refusals {
        self.refusals
    }

    fn identity(&self) -> Result<String> {
        let identity = function!(self.opened.plugin, staged_identity);
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::identity(self.opened.plugin, "staged_identity", |call, each, context| unsafe {
            identity(self.raw.as_ptr(), call, each, context)
        })
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        let commit = function!(self.opened.plugin, staged_commit);
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::nothing(self.opened.plugin, "staged_commit", None, |call| unsafe {
            commit(self.raw.as_ptr(), call, Str::new(id.as_str()))
        })
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        let (replace, mut former) = (function!(self.opened.plugin, staged_replace), std::ptr::null_mut());
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::nothing(self.opened.plugin, "staged_replace", None, |call| unsafe {
            replace(self.raw.as_ptr(), call, Str::new(id.as_str()), &mut former)
        })?;
        Ok(LoadedTrash::boxed(&self.opened, former))
    }
}

impl Drop for LoadedStaged {
    fn drop(&mut self) {
        if let Some(discard) = self.opened.plugin.table.staged_discard {
            let _flying = self.opened.plugin.watched("staged_discard");
            // SAFETY: the handle is whole, and this was its last use.
            unsafe { discard(self.raw.as_ptr()) };
        }
    }
}
