//! Views and trash of a plugin.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::table::{Call, Layer, RawDriver, RawTrash, RawView};
use super::answers::{self, Opened};
use super::plugin::function;
use super::values;
use crate::driver::{LayerRef, Pin, Trash, View};
use crate::error::Result;
use crate::task::Task;

/// What a plugin keeps for a view.
#[derive(Debug)]
struct LoadedPin {
    opened: Arc<Opened>,
    raw: NonNull<RawView>,
}

// SAFETY: the header asks of plugins that a view may be checked by several threads at once.
unsafe impl Send for LoadedPin {}
// SAFETY: as above.
unsafe impl Sync for LoadedPin {}

impl Pin for LoadedPin {
    fn check(&self) -> Result<()> {
        let check = function!(self.opened.plugin, view_check);
        // SAFETY: the view is open as long as this lives.
        answers::nothing(self.opened.plugin, "view_check", None, |call| unsafe { check(self.raw.as_ptr(), call) })
    }
}

impl Drop for LoadedPin {
    fn drop(&mut self) {
        if let Some(close) = self.opened.plugin.table.view_close {
            let _flying = self.opened.plugin.watched("view_close");
            // SAFETY: the view is open, and this was its last use.
            unsafe { close(self.raw.as_ptr()) };
        }
    }
}

type MakeView = unsafe extern "C" fn(*mut RawDriver, *const Call, *const Layer, *mut *mut RawView, *mut i32) -> i32;

/// The view that the function `make` of the plugin gives of a layer.
pub(super) fn view(opened: &Arc<Opened>, name: &'static str, make: MakeView, layer: &LayerRef) -> Result<View> {
    let (mut raw, mut root) = (std::ptr::null_mut(), -1);
    let made = answers::nothing(opened.plugin, name, None, |call| {
        // SAFETY: all pointers live as long as the call.
        values::layer(layer, |layer| unsafe { make(opened.raw(), call, layer, &mut raw, &mut root) })
    });
    made?;
    // A view without a handle has nothing to check.
    let pin = NonNull::new(raw).map(|raw| LoadedPin { opened: Arc::clone(opened), raw });
    let root = answers::directory(opened.plugin, name, root)?;
    Ok(View::new(root, pin.into_iter().map(|pin| Box::new(pin) as Box<dyn Pin>).collect()))
}

/// Trash of a plugin; without a handle there is nothing to reclaim.
#[derive(Debug)]
pub(super) struct LoadedTrash {
    opened: Arc<Opened>,
    raw: Option<NonNull<RawTrash>>,
}

// SAFETY: the header asks of plugins that a handle may be used by any thread, one after the other.
unsafe impl Send for LoadedTrash {}

impl LoadedTrash {
    pub(super) fn boxed(opened: &Arc<Opened>, raw: *mut RawTrash) -> Box<dyn Trash> {
        Box::new(LoadedTrash { opened: Arc::clone(opened), raw: NonNull::new(raw) })
    }
}

impl Trash for LoadedTrash {
    fn reclaim(mut self: Box<Self>, task: &Task) -> Result<()> {
        let reclaim = function!(self.opened.plugin, trash_reclaim);
        let Some(raw) = self.raw.take() else { return Ok(()) };
        // SAFETY: the handle is whole, and ends with this call.
        answers::nothing(self.opened.plugin, "trash_reclaim", Some(task), |call| unsafe { reclaim(raw.as_ptr(), call) })
    }
}

impl Drop for LoadedTrash {
    fn drop(&mut self) {
        if let (Some(leave), Some(raw)) = (self.opened.plugin.table.trash_leave, self.raw.take()) {
            let _flying = self.opened.plugin.watched("trash_leave");
            // SAFETY: the handle is whole, and this was its last use.
            unsafe { leave(raw.as_ptr()) };
        }
    }
}
