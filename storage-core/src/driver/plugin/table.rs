//! The border as C sees it. `include/lamina_driver.h` says what each function is for; a test compares the two.

use std::ffi::c_void;
use std::fmt;

use super::layout::{border, table};

/// The version of the border. Within one, functions and fields are only added, at the end, and what is added is optional.
pub(super) const ABI: u32 = 1;

/// The function that a plugin exports.
pub(super) const SYMBOL: &str = "lamina_driver_v1";

/// Things of the plugin that the host only points to.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        /// Something of the plugin's.
        #[repr(C)]
        #[derive(Debug)]
        pub(super) struct $name { _private: [u8; 0] }
    )*};
}

opaque! { RawDriver RawStaged RawTrash RawView RawComparison }

pub(super) type EachText = unsafe extern "C" fn(*mut c_void, Str) -> i32;
pub(super) type EachPair = unsafe extern "C" fn(*mut c_void, Str, Str) -> i32;
pub(super) type EachChange = unsafe extern "C" fn(*mut c_void, Str, i32) -> i32;
pub(super) type EachFlaw = unsafe extern "C" fn(*mut c_void, Str, Str, i32) -> i32;
pub(super) type EachDescriptor = unsafe extern "C" fn(*mut c_void, i32) -> i32;
pub(super) type Ask = unsafe extern "C" fn(*mut c_void) -> i32;

border! {
    /// Bytes with their number.
    Str = "struct lamina_str" { data: *const u8, length: usize, }

    /// Where a layer stands. Never grows: there are arrays of it.
    Place = "struct lamina_place" { id: Str, home: u32, }

    /// A layer with those below it, the nearest first.
    Layer = "struct lamina_layer" { size: usize, place: Place, ancestors: *const Place, ancestor_count: usize, }

    /// A key with its value. Never grows.
    Pair = "struct lamina_pair" { key: Str, value: Str, }

    /// What went wrong. An empty string is one that is not known.
    Failure = "struct lamina_error" {
        size: usize,
        operation: Str,
        path: Str,
        detail: Str,
        remedy: Str,
        cause: Str,
        number: i32,
        reserved: i32,
    }

    /// What comes with every call.
    Call = "struct lamina_call" {
        size: usize,
        context: *mut c_void,
        fail: Option<unsafe extern "C" fn(*mut c_void, *const Failure)>,
        step: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> i32>,
    }

    /// One range of an id map. Never grows.
    Range = "struct lamina_range" { container_id: u64, host_id: u64, size: u64, }

    /// The maps of users and groups. Never grows: it stands inside others.
    RawMaps = "struct lamina_maps" { uids: *const Range, uid_count: usize, gids: *const Range, gid_count: usize, }

    /// The maps of two layers that are compared.
    RawOwners = "struct lamina_owners" {
        size: usize,
        layer: RawMaps,
        base: RawMaps,
        below_layer: RawNamespace,
        below_base: RawNamespace,
    }

    /// A user namespace with its maps, or none where the descriptor is -1. Never grows.
    RawNamespace = "struct lamina_namespace" { descriptor: i32, maps: RawMaps, }

    /// Where and how a driver is to work.
    RawRequest = "struct lamina_request" {
        size: usize,
        home: Str,
        run_home: Str,
        image_home: Str,
        additional_homes: *const Str,
        additional_count: usize,
        options: *const Pair,
        option_count: usize,
    }

    /// What a new layer is to be.
    RawPlan = "struct lamina_plan" {
        size: usize,
        parent: *const Layer,
        replacing: *const Layer,
        replacing_empty: i32,
        home: u32,
        maps: RawMaps,
        parent_maps: RawMaps,
        writable: i32,
        options: *const Pair,
        option_count: usize,
        mount_label: Str,
    }

    /// How a layer is to be mounted.
    RawMount = "struct lamina_mount_options" {
        size: usize,
        options: *const Str,
        option_count: usize,
        read_only: i32,
        is_volatile: i32,
        label: Str,
        user_namespace: RawNamespace,
    }
}

table! {
    head { abi: u32, priority: i32, size: usize, name: Str, version: Str, automatic: i32, reserved: i32, }
    required {
        survey(*const Call, *const RawRequest, *mut i32, *mut u64, EachText, *mut c_void) -> i32;
        open(*const Call, *const RawRequest, *mut *mut RawDriver) -> i32;
        close(*mut RawDriver);
        capabilities(*mut RawDriver, *const Call, *mut u64) -> i32;
        has_kernel_mounts(*mut RawDriver, *const Call, *mut i32) -> i32;
        mount_point(*mut RawDriver, *const Call, *const Place, EachText, *mut c_void) -> i32;
        name_directories(*mut RawDriver, *const Call, u32, EachText, *mut c_void) -> i32;
        sweep(*mut RawDriver, *const Call, u64, *mut u64, *mut u64) -> i32;

        exists(*mut RawDriver, *const Call, *const Place, *mut i32) -> i32;
        list(*mut RawDriver, *const Call, u32, EachText, *mut c_void) -> i32;
        identity(*mut RawDriver, *const Call, *const Place, EachText, *mut c_void) -> i32;
        view(*mut RawDriver, *const Call, *const Layer, *mut *mut RawView, *mut i32) -> i32;
        is_untouched(*mut RawDriver, *const Call, *const Layer, *mut i32) -> i32;
        is_mounted(*mut RawDriver, *const Call, *const Place, *mut i32) -> i32;
        begin(*mut RawDriver, *const Call, *const RawPlan, *mut *mut RawStaged) -> i32;

        view_check(*mut RawView, *const Call) -> i32;
        view_close(*mut RawView);
        staged_fill(*mut RawStaged, *const Call) -> i32;
        staged_root(*mut RawStaged, *const Call, *mut i32) -> i32;
        staged_identity(*mut RawStaged, *const Call, EachText, *mut c_void) -> i32;
        staged_discard(*mut RawStaged);
        trash_reclaim(*mut RawTrash, *const Call) -> i32;
        trash_leave(*mut RawTrash);

        staged_commit(*mut RawStaged, *const Call, Str) -> i32;
        staged_replace(*mut RawStaged, *const Call, Str, *mut *mut RawTrash) -> i32;
        remove(*mut RawDriver, *const Call, *const Place, *mut *mut RawTrash) -> i32;

        mount(*mut RawDriver, *const Call, *const Layer, *const RawMount, EachText, *mut c_void) -> i32;
        unmount(*mut RawDriver, *const Call, *const Place, i32, EachDescriptor, *mut c_void) -> i32;
    }
    optional {
        status(*mut RawDriver, *const Call, EachPair, *mut c_void) -> i32;
        parents_may_come_late(*mut RawDriver, *const Call, *mut i32) -> i32;
        whiteouts(*mut RawDriver, *const Call, *mut i32) -> i32;
        own_directory(*mut RawDriver, *const Call, *const Place, EachText, *mut c_void) -> i32;
        staging_homes(*mut RawDriver, *const Call, EachText, *mut c_void) -> i32;

        metadata(*mut RawDriver, *const Call, *const Layer, EachPair, *mut c_void) -> i32;
        own_files(*mut RawDriver, *const Call, *const Layer, *mut *mut RawView, *mut i32) -> i32;
        write_mark(*mut RawDriver, *const Call, *const Place, EachText, *mut c_void) -> i32;
        examine(*mut RawDriver, *const Call, *const Layer, EachFlaw, *mut c_void) -> i32;
        strays(*mut RawDriver, *const Call, EachText, *mut c_void) -> i32;
        recall_parent(*mut RawDriver, *const Call, *const Place, EachText, *mut c_void) -> i32;
        staged_settle(*mut RawStaged, *const Call, *const Layer, i32) -> i32;
        staged_whiteouts(*mut RawStaged, *const Call, *mut i32) -> i32;
        staged_refusals(*mut RawStaged, *const Call, *mut i32) -> i32;
        compare(*mut RawDriver, *const Call, *const Layer, *const Layer, *const RawOwners, *mut *mut RawComparison) -> i32;

        comparison_changes(*mut RawComparison, *const Call, EachChange, *mut c_void) -> i32;
        comparison_pack(*mut RawComparison, *const Call, EachText, *mut c_void, Ask, *mut c_void) -> i32;
        comparison_size(*mut RawComparison, *const Call, *mut u64) -> i32;
        comparison_check(*mut RawComparison, *const Call) -> i32;
        comparison_close(*mut RawComparison);

        heal(*mut RawDriver, *const Call, *const Layer) -> i32;
        remove_strays(*mut RawDriver, *const Call, *mut u64) -> i32;
        retire(*mut RawDriver, *const Call, EachDescriptor, *mut c_void) -> i32;
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("abi", &self.abi).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A structure that begins with its size, so that it may grow.
///
/// # Safety
///
/// The first field is `size: usize`, and all bytes zero are a value of the type.
pub(super) unsafe trait Growing: Copy {}

// SAFETY: the first field of each is its size, and the others are numbers, pointers and optional functions.
unsafe impl Growing for Layer {}
// SAFETY: as above.
unsafe impl Growing for Failure {}
// SAFETY: as above.
unsafe impl Growing for Call {}
// SAFETY: as above.
unsafe impl Growing for RawOwners {}
// SAFETY: as above.
unsafe impl Growing for RawRequest {}
// SAFETY: as above.
unsafe impl Growing for RawPlan {}
// SAFETY: as above.
unsafe impl Growing for RawMount {}

/// Whether a structure of so many bytes can end where it does: all of them are made of whole words.
pub(super) fn is_whole(size: usize) -> bool {
    size.is_multiple_of(size_of::<usize>())
}

/// What stands at `from`: as much of it as both sides know, the rest zero.
///
/// # Safety
///
/// `from` is null, or points to a structure that is as long as its size says.
pub(super) unsafe fn received<T: Growing>(from: *const T) -> Option<T> {
    if from.is_null() || !from.is_aligned() {
        return None;
    }
    // SAFETY: every such structure begins with its size.
    let size = unsafe { from.cast::<usize>().read() };
    if size < size_of::<usize>() || !is_whole(size) {
        return None;
    }
    // SAFETY: see `received_bytes`; the caller vouches for `size` bytes.
    Some(unsafe { received_bytes(from, size) })
}

/// `size` bytes of what stands at `from`, at most a whole `T`; the rest zero.
///
/// # Safety
///
/// `from` is good for `size` bytes, and all bytes zero are a value of the type.
pub(super) unsafe fn received_bytes<T: Copy>(from: *const T, size: usize) -> T {
    let mut whole = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both are good for that many bytes and don't overlap; zero bytes are a value, and so is what was written.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), whole.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
        whole.assume_init()
    }
}
