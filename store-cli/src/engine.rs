//! The store as the command opens it.

use std::io::Read;
use std::sync::Arc;

pub(crate) use crate::shim::{
    Change, ChangeKind, Compression, Durability, Layer, NewLayer, Release, Store, StoreOptions, ThreadKey,
};
use storage_core::Result;
use storage_core::driver::Registry;
use storage_driver_overlay as _;
use storage_driver_vfs as _;

use crate::app::Context;
use crate::globals::{Flush, Globals};
use crate::output::complain;

/// The drivers linked into the command.
pub(crate) fn registry() -> Result<Registry> {
    Registry::linked()
}

/// Opens the store that the flags name, with the key of this thread.
pub(crate) fn open(context: &Context) -> Result<(Store, ThreadKey)> {
    let store = Store::open(&options(&context.globals), &registry()?)?;
    Ok((store, ThreadKey::take()?))
}

/// What the flags mean to the store.
pub(crate) fn options(globals: &Globals) -> StoreOptions {
    StoreOptions {
        graph_root: globals.graph_root.clone(),
        run_root: globals.run_root.clone(),
        driver: globals.driver.clone(),
        driver_options: globals.driver_options.clone(),
        durability: match globals.flush {
            Flush::None => Durability::None,
            Flush::Layer => Durability::Layer,
            Flush::Strict => Durability::Strict,
        },
        wait: globals.lock_timeout,
        wait_notice: Some(Arc::new(|wait| complain(format_args!("{wait}")))),
    }
}

/// The uncompressed content of an archive, whatever its compression.
pub(crate) fn decompressed(input: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>> {
    Ok(input)
}

/// The name of the driver that the store uses.
pub(crate) fn driver_name(store: &Store) -> String {
    store.driver_name().to_owned()
}

/// Whether a mount of a layer is one of the kernel's, which ends with its namespace.
pub(crate) fn mounts_in_kernel(store: &Store) -> bool {
    driver_name(store) != "vfs"
}
