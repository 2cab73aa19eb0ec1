//! The plugin's side: an ordinary [`Driver`] behind a table of functions.
//!
//! Every function catches panics and answers with an error instead. [`crate::export_driver!`] makes the one function that
//! a shared object exports.

mod comparison;
mod driver;
mod guard;
mod handles;
mod staged;
mod values;

use std::ffi::c_void;
use std::fmt;

use super::table::{ABI, Call, EachText, RawDriver, RawRequest, Str, Table};
use crate::driver::{Descriptor, Driver};

/// A driver that is made into a plugin. For [`crate::export_driver!`] only.
#[doc(hidden)]
pub trait Exported {
    /// Its entry, as a registry would have it.
    const DESCRIPTOR: Descriptor;
}

/// The table that a plugin hands out. For [`crate::export_driver!`] only.
#[doc(hidden)]
pub struct ExportedTable(Table);

// SAFETY: all that it points to is constant.
unsafe impl Sync for ExportedTable {}

impl fmt::Debug for ExportedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ExportedTable {
    /// The table of `E`.
    #[doc(hidden)]
    pub const fn of<E: Exported>() -> Self {
        ExportedTable(table::<E>())
    }

    /// Its address.
    #[doc(hidden)]
    pub const fn get(&self) -> *const Table {
        &raw const self.0
    }
}

/// Makes a shared object of a driver: `storage_core::export_driver!(DESCRIPTOR);` with the [`Descriptor`] that a program
/// that links the driver would register.
///
/// Put it behind a feature of the crate: it exports one fixed name, so a program can't link two drivers with it.
///
/// Build the crate as a `cdylib`, with panics that unwind. A panic in the driver becomes an error with
/// [`crate::Kind::BadPlugin`]; one that can't unwind ends the process.
#[macro_export]
macro_rules! export_driver {
    ($descriptor:expr) => {
        const _: () = {
            #[cfg(not(panic = "unwind"))]
            compile_error!("a driver plugin catches its panics: build it with panic = \"unwind\"");

            struct ThisDriver;

            impl $crate::driver::plugin::Exported for ThisDriver {
                const DESCRIPTOR: $crate::driver::Descriptor = $descriptor;
            }

            static TABLE: $crate::driver::plugin::ExportedTable =
                $crate::driver::plugin::ExportedTable::of::<ThisDriver>();

            #[allow(unsafe_code, reason = "the loader finds a plugin by this name")]
            #[unsafe(no_mangle)]
            extern "C" fn lamina_driver_v1() -> *const $crate::driver::plugin::Table {
                TABLE.get()
            }
        };
    };
}

const fn table<E: Exported>() -> Table {
    Table {
        abi: ABI,
        priority: E::DESCRIPTOR.priority,
        size: size_of::<Table>(),
        name: Str::new(E::DESCRIPTOR.name),
        version: Str::new(E::DESCRIPTOR.version),
        automatic: E::DESCRIPTOR.automatic as i32,
        reserved: 0,
        survey: Some(survey::<E>),
        open: Some(open::<E>),
        close: Some(driver::close),
        capabilities: Some(driver::capabilities),
        has_kernel_mounts: Some(driver::has_kernel_mounts),
        mount_point: Some(driver::mount_point),
        name_directories: Some(driver::name_directories),
        sweep: Some(driver::sweep),
        exists: Some(driver::exists),
        list: Some(driver::list),
        identity: Some(driver::identity),
        view: Some(handles::view),
        is_untouched: Some(driver::is_untouched),
        is_mounted: Some(driver::is_mounted),
        begin: Some(staged::begin),
        view_check: Some(handles::view_check),
        view_close: Some(handles::view_close),
        staged_fill: Some(staged::fill),
        staged_root: Some(staged::root),
        staged_identity: Some(staged::identity),
        staged_discard: Some(staged::discard),
        trash_reclaim: Some(handles::trash_reclaim),
        trash_leave: Some(handles::trash_leave),
        staged_commit: Some(staged::commit),
        staged_replace: Some(staged::replace),
        remove: Some(handles::remove),
        mount: Some(driver::mount),
        unmount: Some(driver::unmount),
        status: Some(driver::status),
        parents_may_come_late: Some(driver::parents_may_come_late),
        whiteouts: Some(driver::whiteouts),
        own_directory: Some(driver::own_directory),
        staging_homes: Some(driver::staging_homes),
        metadata: Some(driver::metadata),
        own_files: Some(handles::own_files),
        write_mark: Some(driver::write_mark),
        examine: Some(driver::examine),
        strays: Some(driver::strays),
        recall_parent: Some(driver::recall_parent),
        staged_settle: Some(staged::settle),
        compare: Some(comparison::compare),
        comparison_changes: Some(comparison::changes),
        comparison_pack: Some(comparison::pack),
        comparison_size: Some(comparison::size),
        comparison_check: Some(comparison::check),
        comparison_close: Some(comparison::close),
        staged_whiteouts: Some(staged::whiteouts),
        staged_refusals: Some(staged::refusals),
        heal: Some(driver::heal),
        remove_strays: Some(driver::remove_strays),
        retire: Some(driver::retire),
    }
}

unsafe extern "C" fn survey<E: Exported>(
    call: *const Call,
    request: *const RawRequest,
    usable: *mut i32,
    bits: *mut u64,
    each: EachText,
    context: *mut c_void,
) -> i32 {
    // SAFETY: the header asks of the host that all pointers are good for the call.
    guard::answer(call, "survey", |host| unsafe {
        let survey = (E::DESCRIPTOR.survey)(&values::request(request)?);
        usable.write(i32::from(survey.usable));
        bits.write(survey.capabilities.bits());
        host.text(each, context, &survey.reason)
    })
}

unsafe extern "C" fn open<E: Exported>(
    call: *const Call,
    request: *const RawRequest,
    driver: *mut *mut RawDriver,
) -> i32 {
    // SAFETY: the header asks of the host that all pointers are good for the call.
    guard::answer(call, "open", |_| unsafe {
        let opened: Box<dyn Driver> = (E::DESCRIPTOR.open)(&values::request(request)?)?;
        driver.write(Box::into_raw(Box::new(opened)).cast());
        Ok(())
    })
}

/// The answer of a function that does `body`.
#[cfg(test)]
pub(super) fn for_tests(call: *const Call, body: &mut dyn FnMut() -> crate::error::Result<()>) -> i32 {
    guard::answer(call, "test", |_| body())
}
