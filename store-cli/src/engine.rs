//! The store as the command opens it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage_core::driver::plugin::{DEFAULT_DIRECTORY, PATH_VARIABLE, Plugins, Refused, Silence, variable_directories};
use storage_core::driver::{Capability, Registry, Roots};
use storage_core::idmap::auto::Limits;
use storage_core::lockfile::{LockWait, Wait};
use storage_core::store::{AutoIds, StoreOptions, VolatileMounts};
use storage_core::sys::rights;
use storage_core::{Error, Result, archive};
use storage_driver_btrfs as _;
use storage_driver_overlay as _;
use storage_driver_vfs as _;
use storage_driver_zfs as _;

pub(crate) use storage_core::archive::{Change, ChangeKind, Compression};
pub(crate) use storage_core::locks::ThreadKey;
pub(crate) use storage_core::store::{
    CheckOptions, CheckReport, Container, DamagedContainers, DedupBy, Deletion, Depth, DiffOptions, Durability,
    Finding, Image, Item, ItemKind, Layer, MountElsewhere, NameChange, NewContainer, NewImage, NewLayer, Release,
    RepairReport, Sight, Store, Subject,
};

use crate::app::Context;
use crate::globals::Globals;
use crate::output::complain;

/// How long a wait for a lock goes on before the command says so.
const PATIENCE: Duration = Duration::from_mins(1);

/// The drivers linked into the command, and those of plugins. One of those that `--plugin` names must be usable; of those that
/// are looked for in directories, what is refused is left out and noted.
pub(crate) fn registry(globals: &Globals) -> Result<Registry> {
    // A plugin that is loaded stays, so once is enough.
    static LOADED: Mutex<Option<Registry>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(registry) = &*loaded {
        return Ok(registry.clone());
    }
    let registry = with_plugins(globals, |_, error| Err(error))?;
    Ok(loaded.insert(registry).clone())
}

/// As [`registry`], but what `--plugin` names is refused like the rest.
pub(crate) fn tolerant_registry(globals: &Globals) -> Result<Registry> {
    with_plugins(globals, |registry, error| {
        let path = error.path().map_or_else(PathBuf::new, Path::to_path_buf);
        registry.refuse(Refused::new(path, &error));
        Ok(())
    })
}

fn with_plugins(globals: &Globals, mut failed: impl FnMut(&mut Registry, Error) -> Result<()>) -> Result<Registry> {
    let mut registry = Registry::linked()?;
    let plugins = plugins(globals);
    for file in &globals.plugins {
        if let Err(error) = plugins.add(&mut registry, file) {
            failed(&mut registry, error)?;
        }
    }
    plugins.load_into(&mut registry);
    Ok(registry)
}

/// The loader of plugins, with the directories that the environment, the configuration and this program name. For a plugin
/// alone, whatever its name: `engine::plugins(globals).load(file)`.
pub(crate) fn plugins(globals: &Globals) -> Plugins {
    // Who runs a program with the rights of somebody else doesn't choose what is loaded into it.
    let named = std::env::var_os(PATH_VARIABLE).filter(|_| !rights::are_lent()).unwrap_or_default();
    Plugins::new()
        .in_directories(variable_directories(&named))
        .in_directories(globals.configuration.plugin_directories.iter().cloned())
        .in_directories([PathBuf::from(DEFAULT_DIRECTORY)])
        .noticing(PATIENCE, Arc::new(tell_of_silence))
}

fn tell_of_silence(silence: &Silence) {
    let Silence { driver, operation, silent, file } = silence;
    let which = if driver.is_empty() { String::new() } else { format!(" of the driver {driver}") };
    complain(format_args!(
        "the plugin{which} ({}) has not come back from {operation} for {} s",
        file.display(),
        silent.as_secs()
    ));
}

/// Opens the store that the flags name, with the key of this thread.
pub(crate) fn open(context: &Context) -> Result<(Store, ThreadKey)> {
    context.globals.configuration.check_supported()?;
    let registry = registry(&context.globals)?;
    let mut key = ThreadKey::take()?;
    let store = Store::open(&options(&context.globals), &registry, &mut key)?;
    Ok((store, key))
}

/// The driver that a store is opened with, as far as somebody says it. None leaves the choice to the registry.
pub(crate) fn wanted_driver(globals: &Globals, registry: &Registry) -> Result<Option<String>> {
    match &globals.driver {
        None => registry.preferred(&roots(globals), &globals.configuration.driver_priority, &globals.driver_options),
        named => Ok(named.clone()),
    }
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
        driver_priority: globals.configuration.driver_priority.clone(),
        driver_options: globals.driver_options.clone(),
        durability: globals.durability,
        auto_ids: auto_ids(globals),
        image_store: globals.image_store.clone(),
        transient: globals.transient,
        volatile: if globals.configuration.disable_volatile {
            VolatileMounts::Disabled
        } else {
            VolatileMounts::Allowed
        },
        additional_stores: globals.additional_image_stores().to_vec(),
        wait: globals.lock_timeout.map_or_else(Wait::forever, Wait::at_most).noticing(PATIENCE, Arc::new(tell_of)),
    }
}

fn auto_ids(globals: &Globals) -> AutoIds {
    let configured = &globals.configuration.auto_userns;
    let defaults = AutoIds::default();
    let limits = defaults.limits;
    // What isn't configured is 0.
    let or = |size, default| if size == 0 { default } else { size };
    AutoIds {
        root_user: configured.root_user.clone().unwrap_or_else(|| defaults.root_user.clone()),
        limits: Limits { min: or(configured.min_size, limits.min), max: or(configured.max_size, limits.max) },
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

/// What is in the store and its additional stores, for a list; what can't be read of these is told.
pub(crate) fn sight(store: &Store) -> Result<Sight> {
    let sight = store.sight()?;
    sight.unread.iter().for_each(complain);
    Ok(sight)
}

/// Whether a mount of a layer is one of the kernel's, which ends with its namespace.
pub(crate) fn mounts_in_kernel(store: &Store) -> bool {
    store.capabilities().has(Capability::KernelMounts)
}

/// What to ask the store for where a layer is wanted: the layer of a container that is called `wanted`; anything else is
/// handed on, to be looked up under the lock.
pub(crate) fn layer_of(store: &Store, wanted: &str) -> String {
    let found =
        store.sight().and_then(|sight| sight.first_of(&[ItemKind::Layer, ItemKind::Container], wanted, "look up"));
    match found {
        Ok((_, Item::Container(container))) => container.layer.clone(),
        _ => wanted.to_owned(),
    }
}

/// The layer that is compared and, when there is one, that which it is compared with.
pub(crate) fn compared(store: &Store, args: &[String]) -> (String, Option<String>) {
    (layer_of(store, &args[0]), args.get(1).map(|from| layer_of(store, from)))
}

#[cfg(test)]
mod tests {
    use storage_core::driver::Registry;

    #[test]
    fn exactly_the_linked_drivers_are_registered() {
        let registry = Registry::linked().expect("names that differ");
        assert_eq!(registry.names(), ["btrfs", "overlay", "vfs", "zfs"], "a driver that nobody names is not linked");
    }
}
