//! Comparisons, as handles.

// SAFETY of every block here: see `driver.rs`; a handle is used by one thread at a time.

use std::ffi::c_void;
use std::io::{self, Write};

use super::super::codes::Coded;
use super::super::table::{Ask, Call, EachChange, EachText, Layer, RawComparison, RawDriver, RawOwners, Str};
use super::driver::driver;
use super::guard::{answer, shared, silent, went_on, wrong};
use super::values;
use crate::driver::Comparison;
use crate::error::Result;

pub(super) unsafe extern "C" fn compare(
    raw: *mut RawDriver,
    call: *const Call,
    layer: *const Layer,
    base: *const Layer,
    maps: *const RawOwners,
    comparison: *mut *mut RawComparison,
) -> i32 {
    // SAFETY: see above.
    answer(call, "compare", |_| unsafe {
        let (layer, base) = (values::layer(layer)?, values::maybe_layer(base)?);
        let made: Box<dyn Comparison> =
            driver(raw)?.compare(&shared(), &layer, base.as_ref(), &values::owners(maps)?)?;
        comparison.write(Box::into_raw(Box::new(made)).cast());
        Ok(())
    })
}

unsafe fn comparison<'call>(raw: *mut RawComparison) -> Result<&'call dyn Comparison> {
    // SAFETY: see above.
    let comparison = unsafe { raw.cast::<Box<dyn Comparison>>().as_ref() };
    comparison.map(|comparison| &**comparison).ok_or_else(|| wrong("no comparison is given"))
}

pub(super) unsafe extern "C" fn changes(
    raw: *mut RawComparison,
    call: *const Call,
    each: EachChange,
    context: *mut c_void,
) -> i32 {
    // SAFETY: see above.
    answer(call, "comparison_changes", |host| unsafe {
        comparison(raw)?.changes(&host.task("comparison_changes"), &mut |change| {
            went_on(each(context, Str::of_path(&change.path), change.kind.code()))
        })
    })
}

/// Writes to the host.
struct Out {
    write: EachText,
    context: *mut c_void,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the host gave the function and its context for this call, which lasts longer than this.
        let went_on = went_on(unsafe { (self.write)(self.context, Str::of_bytes(bytes)) });
        went_on.map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) unsafe extern "C" fn pack(
    raw: *mut RawComparison,
    call: *const Call,
    write: EachText,
    write_context: *mut c_void,
    before_end: Ask,
    end_context: *mut c_void,
) -> i32 {
    // SAFETY: see above.
    answer(call, "comparison_pack", |host| unsafe {
        let mut out = Out { write, context: write_context };
        let mut before_end = || went_on(before_end(end_context));
        comparison(raw)?.pack(&mut out, &mut before_end, &host.task("comparison_pack"))
    })
}

pub(super) unsafe extern "C" fn size(raw: *mut RawComparison, call: *const Call, bytes: *mut u64) -> i32 {
    // SAFETY: see above.
    answer(call, "comparison_size", |host| unsafe {
        bytes.write(comparison(raw)?.size(&host.task("comparison_size"))?);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn check(raw: *mut RawComparison, call: *const Call) -> i32 {
    // SAFETY: see above.
    answer(call, "comparison_check", |_| unsafe { comparison(raw)?.check() })
}

pub(super) unsafe extern "C" fn close(raw: *mut RawComparison) {
    if !raw.is_null() {
        // SAFETY: see above; this was the last use.
        silent(|| drop(unsafe { Box::from_raw(raw.cast::<Box<dyn Comparison>>()) }));
    }
}
