//! Views and trash, as handles.

// SAFETY of every block here: the header asks of the host that a handle is one that was given to it and that was not ended,
// that pointers are good for the call, and that it holds the locks which the header names beside the function.

use super::super::table::{Call, Layer, Place, RawDriver, RawTrash, RawView};
use super::driver::driver;
use super::guard::{answer, exclusive, shared, silent, wrong};
use super::values;
use crate::driver::{Pin, Trash, View};
use crate::error::Result;
use std::os::fd::IntoRawFd;

type Pins = Vec<Box<dyn Pin>>;

pub(super) unsafe extern "C" fn view(
    raw: *mut RawDriver,
    call: *const Call,
    layer: *const Layer,
    view: *mut *mut RawView,
    root: *mut i32,
) -> i32 {
    // SAFETY: see above.
    answer(call, "view", |_| unsafe {
        hand_out(driver(raw)?.view(&shared(), &values::layer(layer)?)?, view, root);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn own_files(
    raw: *mut RawDriver,
    call: *const Call,
    layer: *const Layer,
    view: *mut *mut RawView,
    root: *mut i32,
) -> i32 {
    // SAFETY: see above.
    answer(call, "own_files", |_| unsafe {
        hand_out(driver(raw)?.own_files(&shared(), &values::layer(layer)?)?, view, root);
        Ok(())
    })
}

unsafe fn hand_out(made: View, view: *mut *mut RawView, root: *mut i32) {
    let (directory, pins) = made.into_parts();
    // SAFETY: see above.
    unsafe {
        view.write(Box::into_raw(Box::<Pins>::new(pins)).cast());
        root.write(directory.into_raw_fd());
    }
}

pub(super) unsafe extern "C" fn view_check(view: *mut RawView, call: *const Call) -> i32 {
    // SAFETY: see above.
    answer(call, "view_check", |_| unsafe {
        let pins = view.cast::<Pins>().as_ref().ok_or_else(|| wrong("no view is given"))?;
        pins.iter().try_for_each(|pin| pin.check())
    })
}

pub(super) unsafe extern "C" fn view_close(view: *mut RawView) {
    if !view.is_null() {
        // SAFETY: see above; this was the last use.
        silent(|| drop(unsafe { Box::from_raw(view.cast::<Pins>()) }));
    }
}

pub(super) unsafe extern "C" fn remove(
    raw: *mut RawDriver,
    call: *const Call,
    place: *const Place,
    trash: *mut *mut RawTrash,
) -> i32 {
    // SAFETY: see above.
    answer(call, "remove", |_| unsafe {
        let (id, home) = values::place(place)?;
        trash.write(trash_handle(driver(raw)?.remove(&mut exclusive(), &id, home)?));
        Ok(())
    })
}

pub(super) fn trash_handle(trash: Box<dyn Trash>) -> *mut RawTrash {
    Box::into_raw(Box::new(trash)).cast()
}

unsafe fn end_trash(trash: *mut RawTrash) -> Result<Box<dyn Trash>> {
    if trash.is_null() {
        return Err(wrong("no trash is given"));
    }
    // SAFETY: see above; this is the last use.
    Ok(*unsafe { Box::from_raw(trash.cast::<Box<dyn Trash>>()) })
}

pub(super) unsafe extern "C" fn trash_reclaim(trash: *mut RawTrash, call: *const Call) -> i32 {
    // SAFETY: see above.
    answer(call, "trash_reclaim", |host| unsafe { end_trash(trash)?.reclaim(&host.task("trash_reclaim")) })
}

pub(super) unsafe extern "C" fn trash_leave(trash: *mut RawTrash) {
    // SAFETY: see above.
    silent(|| drop(unsafe { end_trash(trash) }));
}
