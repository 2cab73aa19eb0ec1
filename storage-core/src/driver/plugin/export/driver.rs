//! The functions of an open driver.

// SAFETY of every block here: the header asks of the host that a driver is one that `open` gave and that was not closed, that
// pointers are good for the call, and that it holds the locks which the header names beside the function.

use std::ffi::c_void;
use std::time::{Duration, Instant};

use super::super::codes::Coded;
use super::super::table::{Call, EachDescriptor, EachFlaw, EachPair, EachText, Layer, Place, RawDriver, RawMount, Str};
use super::guard::{answer, exclusive, mounting, shared, silent, went_on, wrong};
use super::values;
use crate::driver::{Driver, Extent};
use crate::error::Result;

/// The driver behind a pointer of the host's.
pub(super) unsafe fn driver<'call>(raw: *mut RawDriver) -> Result<&'call dyn Driver> {
    // SAFETY: see above.
    unsafe { raw.cast::<Box<dyn Driver>>().as_ref() }.map(|driver| &**driver).ok_or_else(|| wrong("no driver is given"))
}

pub(super) unsafe extern "C" fn close(raw: *mut RawDriver) {
    if !raw.is_null() {
        // SAFETY: see above; this was the last use.
        silent(|| drop(unsafe { Box::from_raw(raw.cast::<Box<dyn Driver>>()) }));
    }
}

macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),*) |$host:ident, $driver:ident| $body:block)*) => {$(
        pub(super) unsafe extern "C" fn $name(raw: *mut RawDriver, call: *const Call, $($arg: $type),*) -> i32 {
            // SAFETY: see above.
            answer(call, stringify!($name), |$host| unsafe {
                let $driver = driver(raw)?;
                $body
            })
        }
    )*};
}

functions! {
    capabilities(bits: *mut u64) |_host, driver| {
        bits.write(driver.capabilities().bits());
        Ok(())
    }

    has_kernel_mounts(yes: *mut i32) |_host, driver| {
        yes.write(i32::from(driver.has_kernel_mounts()));
        Ok(())
    }

    parents_may_come_late(yes: *mut i32) |_host, driver| {
        yes.write(i32::from(driver.parents_may_come_late()));
        Ok(())
    }

    whiteouts(code: *mut i32) |_host, driver| {
        code.write(driver.whiteouts().code());
        Ok(())
    }

    status(each: EachPair, context: *mut c_void) |_host, driver| {
        pairs(each, context, &driver.status())
    }

    mount_point(place: *const Place, each: EachText, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        host.path(each, context, &driver.mount_point(&id, home)?)
    }

    own_directory(place: *const Place, each: EachText, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        driver.own_directory(&id, home)?.map_or(Ok(()), |path| host.path(each, context, &path))
    }

    name_directories(home: u32, each: EachText, context: *mut c_void) |host, driver| {
        let paths = driver.name_directories(values::home(home)?)?;
        paths.iter().try_for_each(|path| host.path(each, context, path))
    }

    staging_homes(each: EachText, context: *mut c_void) |host, driver| {
        driver.staging_homes()?.iter().try_for_each(|path| host.path(each, context, path))
    }

    sweep(milliseconds: u64, reclaimed: *mut u64, left: *mut u64) |host, driver| {
        // A deadline that the clock can't express is none that matters.
        let deadline = Instant::now() + Duration::from_millis(milliseconds.min(u64::from(u32::MAX)));
        let swept = driver.sweep(deadline, &host.task("sweep"))?;
        reclaimed.write(swept.reclaimed);
        left.write(swept.left);
        Ok(())
    }

    exists(place: *const Place, yes: *mut i32) |_host, driver| {
        let (id, home) = values::place(place)?;
        yes.write(i32::from(driver.exists(&shared(), &id, home)?));
        Ok(())
    }

    list(home: u32, each: EachText, context: *mut c_void) |host, driver| {
        let names = driver.list(&shared(), values::home(home)?)?;
        names.iter().try_for_each(|name| host.text(each, context, name))
    }

    metadata(layer: *const Layer, each: EachPair, context: *mut c_void) |_host, driver| {
        pairs(each, context, &driver.metadata(&shared(), &values::layer(layer)?)?)
    }

    identity(place: *const Place, each: EachText, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        host.text(each, context, &driver.identity(&shared(), &id, home)?)
    }

    is_untouched(layer: *const Layer, yes: *mut i32) |_host, driver| {
        yes.write(i32::from(driver.is_untouched(&shared(), &values::layer(layer)?)?));
        Ok(())
    }

    write_mark(place: *const Place, each: EachText, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        let mark = driver.write_mark(&shared(), &id, home)?;
        mark.map_or(Ok(()), |mark| host.text(each, context, &mark))
    }

    is_mounted(place: *const Place, yes: *mut i32) |_host, driver| {
        let (id, home) = values::place(place)?;
        yes.write(i32::from(driver.is_mounted(&shared(), &id, home)?));
        Ok(())
    }

    examine(layer: *const Layer, each: EachFlaw, context: *mut c_void) |_host, driver| {
        let flaws = driver.examine(&shared(), &values::layer(layer)?)?;
        flaws.iter().try_for_each(|flaw| {
            went_on(each(context, Str::of_path(&flaw.path), Str::new(&flaw.detail), flaw.cure.code()))
        })
    }

    strays(each: EachText, context: *mut c_void) |host, driver| {
        driver.strays(&shared())?.iter().try_for_each(|path| host.path(each, context, path))
    }

    recall_parent(place: *const Place, each: EachText, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        let parent = driver.recall_parent(&shared(), &id, home)?;
        parent.map_or(Ok(()), |parent| host.text(each, context, parent.as_str()))
    }

    heal(layer: *const Layer) |_host, driver| {
        driver.heal(&mut exclusive(), &values::layer(layer)?)
    }

    remove_strays(count: *mut u64) |_host, driver| {
        count.write(driver.remove_strays(&mut exclusive())?);
        Ok(())
    }

    mount(layer: *const Layer, options: *const RawMount, each: EachText, context: *mut c_void) |host, driver| {
        let path = driver.mount(&mut mounting(), &values::layer(layer)?, &values::mount(options)?)?;
        host.path(each, context, &path)
    }

    unmount(place: *const Place, extent: i32, each: EachDescriptor, context: *mut c_void) |host, driver| {
        let (id, home) = values::place(place)?;
        let extent = Extent::of(extent).ok_or_else(|| wrong(format!("{extent} stands for no extent")))?;
        host.descriptors(each, context, driver.unmount(&mut mounting(), &id, home, extent)?.into_mounts())
    }

    retire(each: EachDescriptor, context: *mut c_void) |host, driver| {
        host.descriptors(each, context, driver.retire(&mut mounting())?.into_mounts())
    }
}

unsafe fn pairs(each: EachPair, context: *mut c_void, pairs: &[(String, String)]) -> Result<()> {
    // SAFETY: the host gave the function and its context for this call.
    pairs.iter().try_for_each(|(key, value)| went_on(unsafe { each(context, Str::new(key), Str::new(value)) }))
}
