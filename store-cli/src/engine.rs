//! The store as the command opens it.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use storage_core::driver::{Candidate, Capability, Registry, Roots};
use storage_core::idmap::auto::Limits;
use storage_core::lockfile::{LockWait, Wait};
use storage_core::store::{AutoIds, StoreOptions};
use storage_core::{Result, archive};
use storage_driver_overlay as _;
use storage_driver_vfs as _;
use storage_driver_zfs as _;

pub(crate) use storage_core::archive::{Change, ChangeKind, Compression};
pub(crate) use storage_core::locks::ThreadKey;
pub(crate) use storage_core::store::{DiffOptions, Durability, ItemKind, Layer, NameChange, NewLayer, Release, Store};

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
    context.globals.configuration.check_supported()?;
    let registry = registry()?;
    let options = StoreOptions { driver: wanted_driver(&context.globals, &registry)?, ..options(&context.globals) };
    let mut key = ThreadKey::take()?;
    let store = Store::open(&options, &registry, &mut key)?;
    Ok((store, key))
}

/// The driver to open the store with: the one that is named, else the first of the configured list that works on a root
/// which has none yet. None leaves the choice to the registry.
pub(crate) fn wanted_driver(globals: &Globals, registry: &Registry) -> Result<Option<String>> {
    let list = &globals.configuration.driver_priority;
    if globals.driver.is_some() || list.is_empty() {
        return Ok(globals.driver.clone());
    }
    let candidates = registry.survey(&roots(globals), &globals.driver_options)?;
    Ok(first_of(list, &candidates))
}

fn first_of(list: &[String], candidates: &[Candidate]) -> Option<String> {
    if candidates.iter().any(|each| each.prior) {
        return None;
    }
    let usable = |name: &&String| candidates.iter().any(|each| each.descriptor.name == *name && each.survey.usable);
    list.iter().find(usable).cloned()
}

/// The places that the flags and the configuration name.
pub(crate) fn roots(globals: &Globals) -> Roots {
    Roots {
        graph: globals.graph_root.clone(),
        run: globals.run_root.clone(),
        image: globals.image_store.clone(),
        additional: globals.additional_image_stores().to_vec(),
    }
}

/// What the flags mean to the store.
pub(crate) fn options(globals: &Globals) -> StoreOptions {
    StoreOptions {
        graph_root: globals.graph_root.clone(),
        run_root: globals.run_root.clone(),
        driver: globals.driver.clone(),
        driver_options: globals.driver_options.clone(),
        durability: globals.durability,
        auto_ids: auto_ids(globals),
        image_store: globals.image_store.clone(),
        transient: globals.transient,
        additional_stores: globals.additional_image_stores().to_vec(),
        wait: globals.lock_timeout.map_or_else(Wait::forever, Wait::at_most).noticing(PATIENCE, Arc::new(tell_of)),
    }
}

fn auto_ids(globals: &Globals) -> AutoIds {
    let configured = &globals.configuration.auto_userns;
    let defaults = AutoIds::default();
    AutoIds {
        root_user: configured.root_user.clone().unwrap_or_else(|| defaults.root_user.clone()),
        limits: Limits { min: configured.min_size, max: configured.max_size },
        ..defaults
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
        assert_eq!(registry.names(), ["overlay", "vfs", "zfs"], "a driver that nobody names is not linked");
    }
}
