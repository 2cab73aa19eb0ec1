//! Mounting, releasing, and counting.

use std::path::PathBuf;
use std::sync::Arc;

use super::check::Disagree;
use super::mounts::MountTable;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use super::{Container, Layer, LayerTable, Store};
use crate::driver::{Extent, Home, LayerRef, MountOptions, Mounting, Shared};
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::counting::{Counted, Counting, Counts, Mountable, write_counts};
use crate::locks::level::{Layers, Mounts};
use crate::locks::{Kernel, Key, ThreadKey, WriteGuard};
use crate::mount::elsewhere;

pub(super) use crate::locks::counting::Others;
pub use crate::locks::counting::Release;

type MountsGuard<'g> = WriteGuard<'g, Mounts, MountTable, Kernel>;

/// One layer, for its driver to mount and unmount.
struct OneLayer<'a, 's> {
    store: &'a Store,
    id: LayerId,
    home: Home,
    /// What to mount; none where it is only taken away.
    plan: Option<(LayerRef, MountOptions)>,
    rubbish: &'a mut Rubbish<'s>,
}

impl Mountable for OneLayer<'_, '_> {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn place(&self) -> Result<PathBuf> {
        self.store.gate.mount_point(&self.id, self.home)
    }

    fn has_kernel_mounts(&self) -> bool {
        self.store.gate.has_kernel_mounts()
    }

    fn is_mounted(&self, held: &Shared<'_>) -> Result<bool> {
        self.store.gate.shared(held)?.is_mounted(&self.id, self.home)
    }

    fn attach(&mut self, held: &mut Mounting<'_>) -> Result<PathBuf> {
        let Some((layer, options)) = &self.plan else {
            return Err(Error::new(Kind::LockMisuse, "mount").at(self.place()?).detail("no plan to mount it"));
        };
        self.store.gate.mounting(held)?.mount(layer, options)
    }

    fn detach(&mut self, held: &mut Mounting<'_>) -> Result<()> {
        self.rubbish.add_mount(self.store.gate.mounting(held)?.unmount(&self.id, self.home, Extent::All)?);
        Ok(())
    }

    fn check_gone(&self, counted: Counted) -> Result<()> {
        elsewhere::check_gone(&self.place()?, counted).map_err(|error| error.detail(format!("layer {}", self.id)))
    }

    fn namespace(&self) -> Option<String> {
        elsewhere::namespace_here()
    }

    fn is_left_in(&self, namespace: &str) -> Result<bool> {
        Ok(elsewhere::is_seen_in(&self.place()?, namespace))
    }
}

impl Store {
    /// Mounts the layer called `wanted` and counts it; a layer that is mounted here already is counted once more. Returns
    /// where it is to be seen.
    ///
    /// Holds `storage.lock` shared, `layers.lock` and `mountpoints.lock` exclusively. Fails with [`Kind::Busy`] when the layer
    /// is counted as mounted but not to be seen from here, naming who sees it.
    pub fn mount(&self, key: &mut ThreadKey, wanted: &str, options: &MountOptions) -> Result<PathBuf> {
        let _purpose = crate::record::purpose("mount");
        if options.namespace.is_some() {
            // Asked before the locks are taken: it may have to be tried out.
            self.gate.capabilities();
        }
        let mut rubbish = Rubbish::of(self);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let record = self.own_layer(layers.table(), wanted)?;
        let layer = self.layer_ref(layers.table(), &record)?;
        let mut options = options.clone();
        if options.label.is_empty() {
            options.label.clone_from(&record.mount_label);
        }
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let (id, home) = (layer.id.clone(), layer.home);
        let mut layer = OneLayer { store: self, id, home, plan: Some((layer, options)), rubbish: &mut rubbish };
        Counting::new(&mut layers, &mut mounts, &self.mounting_words()).mount(&mut layer)
    }

    /// The layer of this store that is called `wanted`. Fails with [`Kind::ReadOnlyStore`] when only an additional store has
    /// one.
    fn own_layer(&self, own: &LayerTable, wanted: &str) -> Result<Arc<Layer>> {
        if let Some(layer) = own.find(wanted) {
            return Ok(Arc::clone(layer));
        }
        match self.find_layer(own, wanted) {
            None => own.resolve(wanted, "mount").cloned(),
            Some(_) => Err(Error::new(Kind::ReadOnlyStore, "mount")
                .detail(format!("{wanted:?} is in an additional store: mounting read/only store images is not allowed"))
                .remedy("make a container of the image, and mount that")),
        }
    }

    /// How often what is called `wanted` is mounted: a container, a layer or an image's top layer. Takes no lock.
    pub fn mounted(&self, wanted: &str) -> Result<u64> {
        let layers = self.layers()?;
        let top_layer = || Some(self.sight().ok()?.image(wanted, "count mounts").ok()?.1.layer.clone());
        let id = match self.mountable(&layers, wanted).or_else(top_layer) {
            Some(id) => id,
            None => layers.resolve(wanted, "count mounts")?.id.clone(),
        };
        Ok(self.mounts.snapshot()?.count(&id))
    }

    /// The id of the layer that `wanted` mounts: that of a container of this id or name, a layer of this id or name, and then
    /// the same by the beginning of an id.
    fn mountable(&self, layers: &LayerTable, wanted: &str) -> Option<String> {
        // Containers that can't be read keep nobody from their layers.
        let containers = self.containers.snapshot().unwrap_or_default();
        let own_layer = |container: &Arc<Container>| container.layer.clone();
        let id = |layer: &Arc<Layer>| layer.id.clone();
        let exact = containers.find_exact(wanted).map(own_layer).or_else(|| layers.find_exact(wanted).map(id));
        exact.or_else(|| containers.find(wanted).map(own_layer)).or_else(|| layers.find(wanted).map(id))
    }

    /// Gives back a mount of what is called `wanted`: a container or a layer, by its id, its name, the beginning of its id, or
    /// the path of its mount. Returns whether it is still mounted.
    ///
    /// The count is read and acted upon under one hold (R3). Holds `storage.lock` shared, `layers.lock` and
    /// `mountpoints.lock` exclusively; the flush that may follow an unmount happens after they are released.
    pub fn unmount(&self, key: &mut ThreadKey, wanted: &str, release: Release) -> Result<bool> {
        let _purpose = crate::record::purpose(release.name());
        let mut rubbish = Rubbish::of(self);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let by_path = || self.mounts.snapshot().ok()?.at_path(wanted).map(|mount| mount.id.clone());
        let id = match self.mountable(layers.table(), wanted).or_else(by_path) {
            Some(id) => LayerId::from_store(&id)?,
            None => layers.table().resolve(wanted, "unmount")?.layer_id()?,
        };
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let mut layer = self.one_layer(layers.table(), id, &mut rubbish);
        Counting::new(&mut layers, &mut mounts, &self.mounting_words()).release(&mut layer, release)
    }

    /// The layer, to be taken away from where it is mounted.
    fn one_layer<'a, 's>(&'a self, table: &LayerTable, id: LayerId, rubbish: &'a mut Rubbish<'s>) -> OneLayer<'a, 's> {
        OneLayer { store: self, home: home_of(table, &id), id, plan: None, rubbish }
    }

    /// Takes away all counts and mounts of the layers.
    pub(super) fn unmount_for_deletion(
        &self,
        layers: &mut LayersGuard<'_>,
        key: &mut Key<'_, Layers>,
        ids: &[LayerId],
        others: Others,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let (mut mounts, _key) = self.write_mounts(layers, key, rubbish)?;
        let words = self.mounting_words();
        let mut counting = Counting::new(layers, &mut mounts, &words);
        for id in ids {
            let mut layer = self.one_layer(counting.layers(), id.clone(), rubbish);
            counting.take_away_if_any(&mut layer, others)?;
        }
        Ok(())
    }

    /// The layers that are counted as mounted, with their paths. Takes no lock.
    pub fn mounted_layers(&self) -> Result<Vec<(String, PathBuf, u64)>> {
        let table = self.mounts.snapshot()?;
        Ok(table
            .iter()
            .map(|mount| (mount.id.clone(), PathBuf::from(&mount.path), mount.count.max(0) as u64))
            .collect())
    }

    /// Holds the mount counts for writing, and puts right what a dead process left mounted and uncounted.
    pub(super) fn write_mounts<'g>(
        &'g self,
        layers: &mut LayersGuard<'_>,
        key: &'g mut Key<'_, Layers>,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(MountsGuard<'g>, Key<'g, Mounts>)> {
        write_counts(&self.mounts, layers, key, &self.wait, &self.mounting_words(), |table, id| {
            Some(self.one_layer(table, LayerId::from_store(id).ok()?, rubbish))
        })
    }

    /// Takes away mounts that nobody counts and nobody uses, and counts of what is mounted nowhere. What is in use, or in another
    /// mount namespace, is left. Returns how many mounts went, how many counts, and how many mounts are left.
    ///
    /// Looks first, without a lock; a flush, where one is due, comes before the locks too.
    pub(super) fn settle_mounts(&self, key: &mut ThreadKey) -> Result<(u64, u64, u64)> {
        let (table, counts) = (self.layers()?, self.mounts.snapshot()?);
        let mut suspects =
            if self.gate.has_kernel_mounts() { self.disagreements(&table, &counts)? } else { Vec::new() };
        // What only others have in namespaces of theirs can't be reached from here.
        suspects.retain(|suspect| !matches!(suspect.how, Disagree::Elsewhere(_)));
        if suspects.is_empty() {
            return Ok((0, 0, 0));
        }
        for suspect in suspects.iter().filter(|suspect| matches!(suspect.how, Disagree::Leaked(_))) {
            if let Ok(mount) = std::fs::File::open(&suspect.path) {
                // An unmount that is not lazy flushes: what it needn't, makes nobody wait.
                let _ = rustix::fs::syncfs(&mount);
            }
        }
        let mut rubbish = Rubbish::of(self);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let certain = self.disagreements(layers.table(), mounts.table())?;
        let words = self.mounting_words();
        let mut counting = Counting::new(&mut layers, &mut mounts, &words);
        let (mut gone, mut corrected, mut left) = (0, 0, 0);
        for one in certain {
            match one.how {
                Disagree::Leaked(_) => {}
                Disagree::Elsewhere(_) => continue,
                Disagree::Lost(_) => {
                    counting.set_count(one.id.as_str(), &one.path, 0)?;
                    corrected += 1;
                    continue;
                }
            }
            let layer = self.one_layer(counting.layers(), one.id, &mut rubbish);
            // What is no mount of ours keeps nobody from the rest.
            if counting.is_mounted(&layer).unwrap_or(false) {
                match self.gate.mounting(&mut counting.mounting()?)?.unmount(&layer.id, layer.home, Extent::Unused) {
                    Ok(detached) => layer.rubbish.add_mount(detached),
                    Err(error) if error.kind() == Kind::Busy => {}
                    Err(error) => return Err(error),
                }
            }
            // Others may have it in namespaces of theirs.
            if elsewhere::look(&one.path).holders.is_empty() { gone += 1 } else { left += 1 }
        }
        Ok((gone, corrected, left))
    }
}

/// The home of a layer; the store's own for one that has no record any more.
fn home_of(layers: &LayerTable, id: &LayerId) -> Home {
    layers.get(id.as_str()).map_or(Home::Own, |layer| layer.home())
}
