//! Layers in the making, as handles.

// SAFETY of every block here: see `driver.rs`; a handle is used by one thread at a time.

use std::ffi::c_void;
use std::os::fd::IntoRawFd;

use super::super::codes::Coded;
use super::super::table::{Call, EachText, Layer, RawDriver, RawPlan, RawStaged, RawTrash, Str};
use super::driver::driver;
use super::guard::{answer, exclusive, shared, silent, wrong};
use super::handles::trash_handle;
use super::values;
use crate::driver::{RootFrom, Staged};
use crate::error::Result;

pub(super) unsafe extern "C" fn begin(
    raw: *mut RawDriver,
    call: *const Call,
    plan: *const RawPlan,
    staged: *mut *mut RawStaged,
) -> i32 {
    // SAFETY: see above.
    answer(call, "begin", |_| unsafe {
        let begun: Box<dyn Staged> = driver(raw)?.begin(&shared(), &values::plan(plan)?)?;
        staged.write(Box::into_raw(Box::new(begun)).cast());
        Ok(())
    })
}

unsafe fn staged<'call>(raw: *mut RawStaged) -> Result<&'call mut dyn Staged> {
    // SAFETY: see above.
    let staged = unsafe { raw.cast::<Box<dyn Staged>>().as_mut() };
    staged.map(|staged| &mut **staged).ok_or_else(|| wrong("no staged layer is given"))
}

macro_rules! functions {
    ($($name:ident as $long:literal($($arg:ident: $type:ty),*) |$host:ident, $staged:ident| $body:block)*) => {$(
        pub(super) unsafe extern "C" fn $name(raw: *mut RawStaged, call: *const Call, $($arg: $type),*) -> i32 {
            // SAFETY: see above.
            answer(call, $long, |$host| unsafe {
                let $staged = staged(raw)?;
                $body
            })
        }
    )*};
}

functions! {
    fill as "staged_fill"() |host, staged| {
        staged.fill(&host.task("staged_fill"))
    }

    settle as "staged_settle"(parent: *const Layer, root: i32) |_host, staged| {
        let root = RootFrom::of(root).ok_or_else(|| wrong(format!("{root} stands for nothing")))?;
        staged.settle(&shared(), &values::layer(parent)?, root)
    }

    root as "staged_root"(number: *mut i32) |_host, staged| {
        number.write(staged.root()?.into_raw_fd());
        Ok(())
    }

    whiteouts as "staged_whiteouts"(code: *mut i32) |_host, staged| {
        code.write(staged.whiteouts().code());
        Ok(())
    }

    refusals as "staged_refusals"(code: *mut i32) |_host, staged| {
        code.write(staged.refusals().code());
        Ok(())
    }

    identity as "staged_identity"(each: EachText, context: *mut c_void) |host, staged| {
        host.text(each, context, &staged.identity()?)
    }

    commit as "staged_commit"(id: Str) |_host, staged| {
        staged.commit(&mut exclusive(), &values::id(id)?)
    }

    replace as "staged_replace"(id: Str, former: *mut *mut RawTrash) |_host, staged| {
        former.write(trash_handle(staged.replace(&mut exclusive(), &values::id(id)?)?));
        Ok(())
    }
}

pub(super) unsafe extern "C" fn discard(raw: *mut RawStaged) {
    if !raw.is_null() {
        // SAFETY: see above; this was the last use.
        silent(|| drop(unsafe { Box::from_raw(raw.cast::<Box<dyn Staged>>()) }));
    }
}
