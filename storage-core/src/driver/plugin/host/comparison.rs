//! A comparison that a plugin makes itself.

use std::ffi::c_void;
use std::io::Write;
use std::ptr::NonNull;
use std::sync::Arc;

use super::super::codes::Coded;
use super::super::table::{RawComparison, Str};
use super::answers::{self, Opened, each_text, owned_path};
use super::call::{Calling, Sink, deliver};
use super::plugin::function;
use crate::archive::{Change, ChangeKind, compression};
use crate::driver::Comparison;
use crate::error::Result;
use crate::task::Task;

/// The most bytes of an archive that are taken at once.
const MOST: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct LoadedComparison {
    opened: Arc<Opened>,
    raw: NonNull<RawComparison>,
}

// SAFETY: the header asks of plugins that a handle may be used by any thread, one after the other.
unsafe impl Send for LoadedComparison {}

impl LoadedComparison {
    pub(super) fn new(opened: &Arc<Opened>, raw: *mut RawComparison) -> Result<Self> {
        Ok(LoadedComparison { opened: Arc::clone(opened), raw: answers::handle(opened.plugin, "compare", raw)? })
    }
}

impl Comparison for LoadedComparison {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let changes = function!(self.opened.plugin, comparison_changes);
        Calling::run(self.opened.plugin, "comparison_changes", Some(task), |calling, call| {
            let mut take = |(path, kind): (Str, i32)| {
                let path = owned_path(calling, path)?;
                let kind = ChangeKind::of(kind)
                    .ok_or_else(|| calling.fault(format!("{kind} is the number of no kind of change")))?;
                each(Change { path, kind })
            };
            let mut sink = Sink::new(calling, &mut take);
            // SAFETY: the handle is whole, and the rest lives as long as the call.
            unsafe { changes(self.raw.as_ptr(), call, each_change, sink.context()) }
        })
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        let pack = function!(self.opened.plugin, comparison_pack);
        Calling::run(self.opened.plugin, "comparison_pack", Some(task), |calling, call| {
            let mut write = |bytes: Str| {
                // SAFETY: the header asks of plugins that what they deliver is whole until the function returns.
                let bytes = unsafe { bytes.bytes(MOST) }.map_err(|wrong| calling.fault(wrong))?;
                out.write_all(bytes).map_err(compression::write_failed)
            };
            let mut ask = |()| before_end();
            let (mut write, mut ask) = (Sink::new(calling, &mut write), Sink::new(calling, &mut ask));
            // SAFETY: the handle is whole, and the rest lives as long as the call.
            unsafe { pack(self.raw.as_ptr(), call, each_text, write.context(), each_question, ask.context()) }
        })
    }

    fn size(&self, task: &Task) -> Result<u64> {
        let (size, mut bytes) = (function!(self.opened.plugin, comparison_size), 0);
        // SAFETY: the handle is whole, and the rest lives as long as the call.
        answers::nothing(self.opened.plugin, "comparison_size", Some(task), |call| unsafe {
            size(self.raw.as_ptr(), call, &mut bytes)
        })?;
        Ok(bytes)
    }

    fn check(&self) -> Result<()> {
        let check = function!(self.opened.plugin, comparison_check);
        // SAFETY: the handle is whole.
        answers::nothing(self.opened.plugin, "comparison_check", None, |call| unsafe { check(self.raw.as_ptr(), call) })
    }
}

impl Drop for LoadedComparison {
    fn drop(&mut self) {
        if let Some(close) = self.opened.plugin.table.comparison_close {
            let _flying = self.opened.plugin.watched("comparison_close");
            // SAFETY: the handle is whole, and this was its last use.
            unsafe { close(self.raw.as_ptr()) };
        }
    }
}

unsafe extern "C" fn each_change(context: *mut c_void, path: Str, kind: i32) -> i32 {
    // SAFETY: it was given to the plugin with the context of such a sink.
    unsafe { deliver(context, (path, kind)) }
}

unsafe extern "C" fn each_question(context: *mut c_void) -> i32 {
    // SAFETY: as above.
    unsafe { deliver(context, ()) }
}
