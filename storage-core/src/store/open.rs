//! Opening a store, and what is always at hand in an open one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layers::{FILES, Layer, LayerTable};
use super::mounts::MountTable;
use super::options::{Durability, StoreOptions};
use crate::driver::{Gate, Home, Registry, Request, Roots};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::TempDirs;
use crate::lockfile::{Access, LockFile, Wait};
use crate::locks::level::{Graph, Layers, Mounts};
use crate::locks::{Flush, Guarded, Kernel, NoRecords, RecordFile, StoreId, ThreadKey};

/// An open store. It may be shared by threads; each needs a [`ThreadKey`] of its own for what may wait.
#[derive(Debug)]
pub struct Store {
    pub(super) graph_root: PathBuf,
    pub(super) run_root: PathBuf,
    pub(super) driver_name: &'static str,
    driver_options: Vec<String>,
    pub(super) durability: Durability,
    pub(super) wait: Wait,
    pub(super) gate: Gate,
    pub(super) graph: Guarded<Graph, NoRecords, Kernel>,
    pub(super) layers: Guarded<Layers, LayerTable, Kernel>,
    pub(super) mounts: Guarded<Mounts, MountTable, Kernel>,
}

impl Store {
    /// Opens the store at the roots in `options`, which are made when they are missing, with a driver of `registry`.
    ///
    /// Takes `storage.lock` exclusively when the driver has to be initialised, and no lock otherwise. Fails with
    /// [`Kind::DriverUnusable`] when no driver can work there.
    pub fn open(options: &StoreOptions, registry: &Registry, key: &mut ThreadKey) -> Result<Self> {
        let absolute = |path: &Path, what: &'static str| {
            if path.as_os_str().is_empty() {
                let missing = Error::new(Kind::Usage, "open store").detail(format!("no {what} given"));
                return Err(missing.remedy("give --graph and --run"));
            }
            std::path::absolute(path).os("resolve", path)
        };
        let graph_root = absolute(&options.graph_root, "graph root")?;
        let run_root = absolute(&options.run_root, "run root")?;
        let roots = Roots::new(&graph_root, &run_root);
        let descriptor = registry.settle(&roots, options.driver.as_deref(), &options.driver_options)?;
        let request = Request::new(&roots, descriptor.name, &options.driver_options)?;
        make_root(&graph_root)?;
        make_root(&run_root)?;
        let store = StoreId::fresh();
        let graph_lock = LockFile::new(graph_root.join("storage.lock"), Access::ReadWrite);
        let graph = Guarded::new(store, Kernel::new(), graph_lock, Vec::new());
        let driver = if request.home.is_dir() {
            (descriptor.open)(&request)?
        } else {
            let _initialising = graph.write(key, &options.wait)?;
            (descriptor.open)(&request)?
        };
        let layers_home = graph_root.join(format!("{}-layers", descriptor.name));
        let run_home = run_root.join(format!("{}-layers", descriptor.name));
        Ok(Store {
            gate: Gate::new(store, driver),
            graph,
            layers: layers_level(store, &layers_home, &run_home),
            mounts: mounts_level(store, &run_home),
            driver_name: descriptor.name,
            driver_options: options.driver_options.clone(),
            durability: options.durability,
            wait: options.wait.clone(),
            graph_root,
            run_root,
        })
    }

    /// The directory of everything that lasts.
    pub fn graph_root(&self) -> &Path {
        &self.graph_root
    }

    /// The directory of what is gone after a reboot.
    pub fn run_root(&self) -> &Path {
        &self.run_root
    }

    /// The name of the driver.
    pub fn driver_name(&self) -> &'static str {
        self.driver_name
    }

    /// What the driver can do here.
    pub fn capabilities(&self) -> crate::driver::Capabilities {
        self.gate.capabilities()
    }

    /// Pairs that describe the store and its driver, in the reference's words and order.
    pub fn status(&self) -> Vec<(String, String)> {
        let own = [
            ("Root", self.graph_root.display().to_string()),
            ("Run Root", self.run_root.display().to_string()),
            ("Driver Name", self.driver_name.to_owned()),
            ("Driver Options", format!("[{}]", self.driver_options.join(" "))),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.gate.status()).collect()
    }

    /// All layers at one moment. Takes no lock.
    pub fn layers(&self) -> Result<Arc<LayerTable>> {
        self.layers.snapshot()
    }

    /// Whether `table` is still what [`Store::layers`] would return. Takes no lock; costs two `stat` calls.
    pub fn is_current(&self, table: &Arc<LayerTable>) -> Result<bool> {
        self.layers.is_current(table)
    }

    /// The layer called `wanted`: an id, a name, or the beginning of one id. Takes no lock. Fails with
    /// [`Kind::LayerUnknown`].
    pub fn lookup(&self, wanted: &str) -> Result<Arc<Layer>> {
        self.layers()?.resolve(wanted, "look up layer").cloned()
    }

    /// The places of all layers that the driver has, known or not. Holds `layers.lock` shared.
    pub fn driver_layers(&self, key: &mut ThreadKey) -> Result<Vec<String>> {
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        self.gate.shared(&guard.shared())?.list(Home::Own)
    }

    /// Pairs that tell where the layer's parts are. Holds `layers.lock` shared.
    pub fn driver_metadata(&self, key: &mut ThreadKey, wanted: &str) -> Result<Vec<(String, String)>> {
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let layer = guard.table().layer_ref(guard.table().resolve(wanted, "describe layer")?)?;
        self.gate.shared(&guard.shared())?.metadata(&layer)
    }

    /// `GRAPHROOT/<driver>-layers`.
    pub(super) fn layers_home(&self) -> PathBuf {
        self.graph_root.join(format!("{}-layers", self.driver_name))
    }

    /// `RUNROOT/<driver>-layers`.
    pub(super) fn run_home(&self) -> PathBuf {
        self.run_root.join(format!("{}-layers", self.driver_name))
    }

    /// Staging and trash for what belongs to a layer beside its tree.
    pub(super) fn side_places(&self) -> TempDirs {
        TempDirs::new(self.layers_home().join("tmp"))
    }

    /// The layer's tar-split file.
    pub(super) fn tar_split_path(&self, id: &str) -> PathBuf {
        self.layers_home().join(format!("{id}.tar-split.gz"))
    }

    /// The directory of the layer's big data.
    pub(super) fn data_dir(&self, id: &str) -> PathBuf {
        self.layers_home().join(id)
    }
}

fn layers_level(store: StoreId, home: &Path, run_home: &Path) -> Guarded<Layers, LayerTable, Kernel> {
    let files = FILES
        .iter()
        .zip([Flush::Data, Flush::Nothing])
        .map(|(name, flush)| RecordFile { path: home.join(name), flush })
        .collect();
    let lock = LockFile::new(home.join("layers.lock"), Access::ReadWrite).with_turn(run_home.join("lamina-turn"));
    Guarded::new(store, Kernel::with_reserve_in(home), lock, files)
}

fn mounts_level(store: StoreId, run_home: &Path) -> Guarded<Mounts, MountTable, Kernel> {
    let file = RecordFile { path: run_home.join("mountpoints.json"), flush: Flush::Nothing };
    let lock = LockFile::new(run_home.join("mountpoints.lock"), Access::ReadWrite);
    Guarded::new(store, Kernel::new(), lock, vec![file])
}

fn make_root(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .os("make root", path)
        .map_err(|error| error.remedy("give a root that can be written, with --graph and --run"))
}
