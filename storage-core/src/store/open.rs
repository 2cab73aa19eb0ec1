//! Opening a store, and what is always at hand in an open one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AutoIds;
use super::additional::Additional;
use super::containers::ContainerTable;
use super::images::ImageTable;
use super::layers::{Layer, LayerTable};
use super::mounts::MountTable;
use super::options::{Durability, StoreOptions, VolatileMounts};
use super::places::Places;
use super::records::Location;
use crate::driver::{Gate, Registry, Request, Roots};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::TempDirs;
use crate::fs::probe::is_remote;
use crate::lockfile::{Access, LockFile, Wait};
use crate::locks::level::{Containers, Graph, Images, Layers, Level, Mounts, UserNamespaces};
use crate::locks::{Flush, Guarded, Kernel, NoRecords, RecordFile, Sight, StoreId, Table, ThreadKey, Watched};

/// An open store. It may be shared by threads; each needs a [`ThreadKey`] of its own for what may wait.
#[derive(Debug)]
pub struct Store {
    pub(super) places: Places,
    driver_options: Vec<String>,
    pub(super) durability: Durability,
    pub(super) volatile: VolatileMounts,
    pub(super) wait: Wait,
    pub(super) gate: Gate,
    pub(super) graph: Guarded<Graph, NoRecords, Kernel>,
    pub(super) layers: Guarded<Layers, LayerTable, Kernel>,
    pub(super) mounts: Guarded<Mounts, MountTable, Kernel>,
    pub(super) images: Guarded<Images, ImageTable, Kernel>,
    pub(super) containers: Guarded<Containers, ContainerTable, Kernel>,
    /// Containers and volatile layers of a transient store on the same root (or, in one, of an ordinary store).
    pub(super) other_containers: Watched<ContainerTable, Kernel>,
    pub(super) other_layers: Watched<LayerTable, Kernel>,
    pub(super) additional: Vec<Additional>,
    pub(super) user_namespaces: Guarded<UserNamespaces, NoRecords, Kernel>,
    pub(super) auto_ids: AutoIds,
}

impl Store {
    /// Opens the store at the roots in `options`, which are made when they are missing, with a driver of `registry`.
    ///
    /// Takes `storage.lock` exclusively when the driver has to be initialised, and no lock otherwise. Fails with
    /// [`Kind::DriverUnusable`] when no driver can work there.
    pub fn open(options: &StoreOptions, registry: &Registry, key: &mut ThreadKey) -> Result<Self> {
        let _purpose = crate::record::purpose("open");
        let absolute = |path: &Path, what: &'static str| {
            if path.as_os_str().is_empty() {
                let missing = Error::new(Kind::Usage, "open store").detail(format!("no {what} given"));
                return Err(missing.remedy("give --graph and --run"));
            }
            std::path::absolute(path).os("resolve", path)
        };
        let graph_root = absolute(&options.graph_root, "graph root")?;
        let run_root = absolute(&options.run_root, "run root")?;
        let image_store = options.image_store.as_deref().map(|path| absolute(path, "image store")).transpose()?;
        if image_store.as_ref() == Some(&graph_root) {
            return Err(Error::new(Kind::Usage, "open store")
                .at(&graph_root)
                .detail("the image store is the graph root itself")
                .remedy("leave --image-store out, or give another directory"));
        }
        let additional =
            options.additional_stores.iter().map(|root| absolute(root, "additional store")).collect::<Result<_>>()?;
        let roots = Roots { graph: graph_root.clone(), run: run_root.clone(), image: image_store.clone(), additional };
        let wanted = match &options.driver {
            None => registry.preferred(&roots, &options.driver_priority, &options.driver_options)?,
            named => named.clone(),
        };
        let descriptor = registry.settle(&roots, wanted.as_deref(), &options.driver_options)?;
        let mut roots = roots.with_options(descriptor.name, &options.driver_options)?;
        // What the store has itself would only be listed twice.
        roots.additional.retain(|root| *root != graph_root && Some(root) != image_store.as_ref());
        let request = Request::new(&roots, descriptor.name, &options.driver_options)?;
        let additional: Vec<_> = roots.additional.iter().map(|root| Additional::new(root, descriptor.name)).collect();
        additional.iter().try_for_each(Additional::check)?;
        [Some(&graph_root), Some(&run_root), image_store.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|root| make_root(root))?;
        let store = StoreId::fresh();
        let sight = |root: &Path| if is_remote(root) { Sight::Delayed } else { Sight::Prompt };
        let (lasting, running) = (sight(&graph_root), sight(&run_root));
        let images = image_store.as_deref().map_or(lasting, |root| lasting.or(sight(root)));
        let level = Levels { store, wait: &options.wait };
        let graph = level.of(Kernel::new(), &[graph_root.join("storage.lock")], Vec::new());
        let has_homes = request.home.is_dir() && request.image_home.as_ref().is_none_or(|home| home.is_dir());
        let driver = if has_homes {
            (descriptor.open)(&request)?
        } else {
            let _initialising = graph.write(key, &options.wait)?;
            (descriptor.open)(&request)?
        };
        let places =
            Places { graph_root, run_root, image_store, driver: descriptor.name, transient: options.transient };
        Ok(Store {
            gate: Gate::new(store, driver),
            graph,
            layers: level.layers(&places, images.or(running)),
            mounts: level.mounts(&places, running),
            images: level.of(
                Kernel::with_reserve_in(&places.images(Location::Stable)).seeing(images),
                &places.image_locks(),
                record_files(places.image_files()),
            ),
            containers: level.of(
                Kernel::with_reserve_in(&places.container_records()).seeing(lasting.or(running)),
                &[places.container_records().join("containers.lock")],
                record_files(places.container_files()),
            ),
            other_containers: Watched::new(
                Kernel::new().seeing(lasting.or(running)),
                record_files(places.other_container_files()),
            ),
            other_layers: Watched::new(
                Kernel::new().seeing(lasting.or(running)),
                record_files(vec![PathBuf::new(), places.other_volatile_layers()]),
            ),
            additional,
            user_namespaces: level.of(Kernel::new(), &[places.graph_root.join("userns.lock")], Vec::new()),
            auto_ids: options.auto_ids.clone(),
            driver_options: options.driver_options.clone(),
            durability: options.durability,
            volatile: options.volatile,
            wait: options.wait.clone(),
            places,
        })
    }

    /// The directory of everything that lasts.
    pub fn graph_root(&self) -> &Path {
        &self.places.graph_root
    }

    /// The directory of what is gone after a reboot.
    pub fn run_root(&self) -> &Path {
        &self.places.run_root
    }

    /// The name of the driver.
    pub fn driver_name(&self) -> &'static str {
        self.places.driver
    }

    /// The options that the driver was opened with.
    pub(super) fn driver_options(&self) -> &[String] {
        &self.driver_options
    }

    /// What the driver can do here.
    pub fn capabilities(&self) -> crate::driver::Capabilities {
        self.gate.capabilities()
    }

    /// Pairs that describe the store and its driver, in the reference's words and order.
    pub fn status(&self) -> Vec<(String, String)> {
        let own = [
            ("Root", self.places.graph_root.display().to_string()),
            ("Run Root", self.places.run_root.display().to_string()),
            ("Driver Name", self.places.driver.to_owned()),
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
        let _purpose = crate::record::purpose("driver layers");
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let mut names = Vec::new();
        for home in self.places.homes() {
            names.extend(self.gate.shared(&guard.shared())?.list(home)?);
        }
        Ok(names)
    }

    /// Pairs that tell where the layer's parts are. Holds `layers.lock` shared.
    pub fn driver_metadata(&self, key: &mut ThreadKey, wanted: &str) -> Result<Vec<(String, String)>> {
        let _purpose = crate::record::purpose("driver metadata");
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let layer = self.layer_ref(guard.table(), guard.table().resolve(wanted, "describe layer")?)?;
        self.gate.shared(&guard.shared())?.metadata(&layer)
    }

    /// `GRAPHROOT/<driver>-layers`.
    pub(super) fn layers_home(&self) -> PathBuf {
        self.places.layers()
    }

    /// `RUNROOT/<driver>-layers`.
    pub(super) fn run_home(&self) -> PathBuf {
        self.places.run_layers()
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

/// What all levels of a store that is being opened have in common.
struct Levels<'a> {
    store: StoreId,
    wait: &'a Wait,
}

impl Levels<'_> {
    fn of<L: Level, T: Table>(
        &self,
        world: Kernel,
        locks: &[PathBuf],
        files: Vec<RecordFile>,
    ) -> Guarded<L, T, Kernel> {
        let locks = locks.iter().map(|path| LockFile::new(path.clone(), Access::ReadWrite)).collect();
        Guarded::new(self.store, world, locks, files, self.wait.clone())
    }

    fn layers(&self, places: &Places, sight: Sight) -> Guarded<Layers, LayerTable, Kernel> {
        let mut locks: Vec<_> =
            places.layer_locks().into_iter().map(|path| LockFile::new(path, Access::ReadWrite)).collect();
        if !locks.is_empty() {
            let first = locks.remove(0).with_turn(places.run_layers().join("lamina-turn"));
            locks.insert(0, first);
        }
        let world = Kernel::with_reserve_in(&places.layers()).seeing(sight);
        Guarded::new(self.store, world, locks, record_files(places.layer_files()), self.wait.clone())
    }

    fn mounts(&self, places: &Places, sight: Sight) -> Guarded<Mounts, MountTable, Kernel> {
        let home = places.run_layers();
        let file = RecordFile { path: home.join("mountpoints.json"), flush: Flush::Nothing };
        self.of(Kernel::new().seeing(sight), &[home.join("mountpoints.lock")], vec![file])
    }
}

/// Files of records in the order of [`Location`]: the volatile ones are not flushed.
fn record_files(paths: Vec<PathBuf>) -> Vec<RecordFile> {
    let flush = |number| if Location::of_file(number) == Location::Volatile { Flush::Nothing } else { Flush::Data };
    paths.into_iter().enumerate().map(|(number, path)| RecordFile { path, flush: flush(number) }).collect()
}

fn make_root(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .os("make root", path)
        .map_err(|error| error.remedy("give a root that can be written, with --graph and --run"))
}
