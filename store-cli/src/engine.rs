//! The store as the command opens it.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use storage_core::driver::{Capability, Registry};
use storage_core::lockfile::{LockWait, Wait};
use storage_core::store::StoreOptions;
use storage_core::{Result, archive};
use storage_driver_overlay as _;
use storage_driver_vfs as _;

pub(crate) use storage_core::archive::{Change, ChangeKind, Compression};
pub(crate) use storage_core::locks::ThreadKey;
pub(crate) use storage_core::store::{
    CheckOptions, CheckReport, DamagedContainers, DedupBy, Depth, DiffOptions, Durability, Finding, ItemKind, Layer,
    NameChange, NewLayer, Release, RepairReport, Store, Subject,
};

use crate::app::Context;
use crate::globals::Globals;
use crate::output::complain;

/// How long a wait for a lock goes on before the command says so.
const PATIENCE: Duration = Duration::from_mins(1);

/// The drivers linked into the command.
pub(crate) fn registry() -> Result<Registry> {
    Registry::linked()
}

/// Opens the store that the flags name, with the key of this thread.
pub(crate) fn open(context: &Context) -> Result<(Store, ThreadKey)> {
    let mut key = ThreadKey::take()?;
    let store = Store::open(&options(&context.globals), &registry()?, &mut key)?;
    Ok((store, key))
}

/// What the flags mean to the store.
pub(crate) fn options(globals: &Globals) -> StoreOptions {
    StoreOptions {
        graph_root: globals.graph_root.clone(),
        run_root: globals.run_root.clone(),
        driver: globals.driver.clone(),
        driver_options: globals.driver_options.clone(),
        durability: globals.durability,
        image_store: None,
        transient: false,
        additional_stores: Vec::new(),
        wait: globals.lock_timeout.map_or_else(Wait::forever, Wait::at_most).noticing(PATIENCE, Arc::new(tell_of)),
    }
}

fn tell_of(wait: &LockWait) {
    let holders: Vec<String> = wait.holders.iter().map(ToString::to_string).collect();
    let holders = if holders.is_empty() { "nobody now".to_owned() } else { holders.join("; ") };
    let (path, waited) = (wait.path.display(), wait.waited.as_secs());
    complain(format_args!(
        "still waiting for {path} after {waited} s, held by {holders}; --lock-timeout ends the wait"
    ));
}

/// The uncompressed content of an archive, whatever its compression.
pub(crate) fn decompressed(input: impl Read + Send + 'static) -> Result<Box<dyn Read + Send>> {
    archive::decoder(input).map(|(_, content)| content)
}

/// Whether a mount of a layer is one of the kernel's, which ends with its namespace.
pub(crate) fn mounts_in_kernel(store: &Store) -> bool {
    store.capabilities().has(Capability::KernelMounts)
}

#[cfg(test)]
mod tests {
    use storage_core::driver::Registry;

    #[test]
    fn exactly_the_linked_drivers_are_registered() {
        let registry = Registry::linked().expect("names that differ");
        assert_eq!(registry.names(), ["overlay", "vfs"], "a driver that nobody names is not linked");
    }
}
