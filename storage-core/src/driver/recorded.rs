//! Handles of drivers, wrapped while a recording goes on, so that what is done with them later is noted too.
//!
//! The gate notes what is asked under a lock. A staged layer, trash, a comparison or a view is worked with afterwards, without one
//! (R6): that, and how it ends, is noted here.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Comparison, Exclusive, LayerRef, Pin, Refusals, RootFrom, Shared, Staged, Trash, View};
use crate::archive::{Change, Whiteouts};
use crate::error::Result;
use crate::idmap::Maps;
use crate::ids::LayerId;
use crate::record::{Call, Handle, is_on, on_handle};
use crate::task::Task;

pub(super) fn staged(staged: Box<dyn Staged>) -> Box<dyn Staged> {
    if !is_on() {
        return staged;
    }
    let (closing, closed) = around("drop staged", None);
    Box::new(RecordedStaged { handle: Handle::new(None), _closing: closing, inner: staged, _closed: closed })
}

pub(super) fn trash(trash: Box<dyn Trash>, id: &LayerId) -> Box<dyn Trash> {
    if !is_on() {
        return trash;
    }
    Box::new(RecordedTrash { handle: Handle::new(Some(id.as_str())), inner: trash })
}

pub(super) fn comparison(comparison: Box<dyn Comparison>, id: &LayerId) -> Box<dyn Comparison> {
    if !is_on() {
        return comparison;
    }
    let (closing, closed) = around("drop comparison", Some(id.as_str()));
    let handle = Handle::new(Some(id.as_str()));
    Box::new(RecordedComparison { handle, _closing: closing, inner: comparison, _closed: closed })
}

pub(super) fn view(view: View, id: &LayerId) -> View {
    if is_on() { view.with(Box::new(RecordedPin { handle: Handle::new(Some(id.as_str())) })) } else { view }
}

/// The end of a handle: a call that begins when the first half is dropped and ends when the second is. A handle stands
/// between the two, in the order of fields.
pub(super) fn around(operation: &'static str, layer: Option<&str>) -> (Closing, Closed) {
    let call = Arc::new(Mutex::new(None));
    (Closing { handle: Handle::new(layer), operation, call: Arc::clone(&call) }, Closed { call })
}

/// The beginning of a handle's end.
#[derive(Debug)]
pub(super) struct Closing {
    handle: Handle,
    operation: &'static str,
    call: Arc<Mutex<Option<Call>>>,
}

/// The end of a handle's end.
#[derive(Debug)]
pub(super) struct Closed {
    call: Arc<Mutex<Option<Call>>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        *self.call.lock() = self.handle.begin(self.operation);
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        drop(self.call.lock().take());
    }
}

#[derive(Debug)]
struct RecordedStaged {
    handle: Handle,
    _closing: Closing,
    inner: Box<dyn Staged>,
    _closed: Closed,
}

/// `settle`, `commit` and `replace` are asked under a lock, so the gate notes them.
impl Staged for RecordedStaged {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let RecordedStaged { handle, inner, .. } = self;
        on_handle(handle, "fill", || inner.fill(task))
    }

    fn settle(&mut self, held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        self.inner.settle(held, parent, root)
    }

    fn root(&self) -> Result<OwnedFd> {
        on_handle(&self.handle, "root", || self.inner.root())
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
        self.inner.commit(held, id)
    }

    fn replace(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        self.inner.replace(held, id)
    }
}

#[derive(Debug)]
struct RecordedTrash {
    handle: Handle,
    inner: Box<dyn Trash>,
}

impl Trash for RecordedTrash {
    fn reclaim(self: Box<Self>, task: &Task) -> Result<()> {
        let RecordedTrash { handle, inner } = *self;
        on_handle(&handle, "reclaim", || inner.reclaim(task))
    }
}

#[derive(Debug)]
struct RecordedComparison {
    handle: Handle,
    _closing: Closing,
    inner: Box<dyn Comparison>,
    _closed: Closed,
}

impl Comparison for RecordedComparison {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        on_handle(&self.handle, "list changes", || self.inner.changes(task, each))
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        on_handle(&self.handle, "pack", || self.inner.pack(out, before_end, task))
    }

    fn size(&self, task: &Task) -> Result<u64> {
        on_handle(&self.handle, "size", || self.inner.size(task))
    }

    fn check(&self) -> Result<()> {
        on_handle(&self.handle, "check", || self.inner.check())
    }
}

/// Notes when a view is checked, and when it ends.
#[derive(Debug)]
struct RecordedPin {
    handle: Handle,
}

impl Pin for RecordedPin {
    fn check(&self) -> Result<()> {
        on_handle(&self.handle, "check view", || Ok(()))
    }
}

impl Drop for RecordedPin {
    fn drop(&mut self) {
        drop(self.handle.begin("drop view"));
    }
}
