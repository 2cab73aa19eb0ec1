//! Mounting, releasing, and counting.

use std::path::PathBuf;
use std::sync::Arc;

use super::mounts::MountTable;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use super::{Container, Layer, LayerTable, Store};
use crate::driver::{Extent, Home, MountOptions};
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::level::{Layers, Mounts};
use crate::locks::{Kernel, Key, ThreadKey, WriteGuard, mounting};
use crate::mount::elsewhere;

type MountsGuard<'g> = WriteGuard<'g, Mounts, MountTable, Kernel>;

/// How a mount is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// One mount, if there is one; none is no error.
    One,
    /// One mount; fails with [`Kind::LayerNotMounted`] when there is none.
    IfMounted,
    /// All mounts, whoever made them.
    Force,
}

impl Release {
    /// What it is called where operations are told apart.
    fn name(self) -> &'static str {
        match self {
            Release::One => "unmount one",
            Release::IfMounted => "unmount if mounted",
            Release::Force => "unmount by force",
        }
    }
}

/// What becomes of mounts in namespaces that can't be seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// They are in the way.
    Respected,
    /// They lose their count.
    Forgotten,
}

/// A layer in both guards: what every step here works on.
struct Held<'a, 'l, 'm> {
    layers: &'a mut LayersGuard<'l>,
    mounts: &'a mut MountsGuard<'m>,
}

impl Store {
    /// Mounts the layer called `wanted` and counts it; a layer that is mounted here already is counted once more. Returns
    /// where it is to be seen.
    ///
    /// Holds `storage.lock` shared, `layers.lock` and `mountpoints.lock` exclusively. Fails with [`Kind::Busy`] when the layer
    /// is counted as mounted but not to be seen from here, naming who sees it.
    pub fn mount(&self, key: &mut ThreadKey, wanted: &str, options: &MountOptions) -> Result<PathBuf> {
        let _purpose = crate::record::purpose("mount");
        let mut rubbish = Rubbish::of(self);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let record = self.own_layer(layers.table(), wanted)?;
        let layer = self.layer_ref(layers.table(), &record)?;
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let mut held = Held { layers: &mut layers, mounts: &mut mounts };
        let path = self.gate.mount_point(&layer.id, layer.home);
        let mut count = held.mounts.table().count(&record.id);
        let kernel_mounts = self.gate.has_kernel_mounts();
        let mounted = self.is_mounted_here(&mut held, &layer.id)?;
        if count > 0 && mounted {
            held.set_count(&record.id, &path, count + 1)?;
            return Ok(path);
        }
        if count > 0 && kernel_mounts {
            elsewhere::check_gone(&path).map_err(|error| error.detail(format!("layer {}", record.id)))?;
            count = 0;
            held.set_count(&record.id, &path, count)?;
        }
        if mounted {
            // Nobody counts it: whoever made it is gone.
            let mut token = mounting(held.layers, held.mounts)?;
            rubbish.add_mount(self.gate.mounting(&mut token)?.unmount(&layer.id, layer.home, Extent::All)?);
        }
        let mut options = options.clone();
        if options.label.is_empty() {
            options.label.clone_from(&record.mount_label);
        }
        self.say_mounting(&record.id)?;
        let mount = |held: &mut Held<'_, '_, '_>| {
            let mut token = mounting(held.layers, held.mounts)?;
            self.gate.mounting(&mut token)?.mount(&layer, &options)
        };
        let counted = mount(&mut held).and_then(|path| held.set_count(&record.id, &path, count + 1).map(|()| path));
        if counted.is_err() && kernel_mounts {
            let mut token = mounting(held.layers, held.mounts)?;
            rubbish.add_mount(self.gate.mounting(&mut token)?.unmount(&layer.id, layer.home, Extent::All)?);
        }
        self.mounting_done()?;
        counted
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
        let home = home_of(layers.table(), &id);
        let mut held = Held { layers: &mut layers, mounts: &mut mounts };
        let count = held.mounts.table().count(id.as_str());
        match (release, count) {
            (Release::IfMounted, 0) => Err(Error::new(Kind::LayerNotMounted, "unmount")
                .at(self.gate.mount_point(&id, home))
                .detail(format!("layer {id} has no mount that is counted"))),
            (Release::One | Release::IfMounted, 2..) => {
                let path = self.gate.mount_point(&id, home);
                held.set_count(id.as_str(), &path, count - 1)?;
                Ok(true)
            }
            _ => {
                if release != Release::Force {
                    self.check_not_elsewhere(&mut held, &id)?;
                }
                self.take_away(&mut held, &id, &mut rubbish).map(|()| false)
            }
        }
    }

    /// Fails with [`Kind::Busy`] when the layer is counted, not mounted here, and may be mounted in another namespace.
    fn check_not_elsewhere(&self, held: &mut Held<'_, '_, '_>, id: &LayerId) -> Result<()> {
        let counted = held.mounts.table().count(id.as_str()) > 0;
        if counted && self.gate.has_kernel_mounts() && !self.is_mounted_here(held, id)? {
            elsewhere::check_gone(&self.gate.mount_point(id, home_of(held.layers.table(), id)))
                .map_err(|error| error.detail(format!("layer {id}")))?;
        }
        Ok(())
    }

    /// Takes away all counts and mounts of the layers.
    pub(super) fn unmount_for_deletion(
        &self,
        layers: &mut LayersGuard<'_>,
        key: &mut Key<'_, Layers>,
        ids: &[LayerId],
        force: Others,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let (mut mounts, _key) = self.write_mounts(layers, key, rubbish)?;
        let mut held = Held { layers, mounts: &mut mounts };
        for id in ids {
            if held.mounts.table().count(id.as_str()) > 0 || self.is_mounted_here(&mut held, id)? {
                if force == Others::Respected {
                    self.check_not_elsewhere(&mut held, id)?;
                }
                self.take_away(&mut held, id, rubbish)?;
            }
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

    /// Holds the mount counts for writing, and takes away a mount that a dead process left uncounted.
    pub(super) fn write_mounts<'g>(
        &'g self,
        layers: &mut LayersGuard<'_>,
        key: &'g mut Key<'_, Layers>,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(MountsGuard<'g>, Key<'g, Mounts>)> {
        let (mut mounts, key) = self.mounts.write(key, &self.wait)?;
        if let Some(id) = self.left_mounting()? {
            if let Ok(id) = LayerId::from_store(&id)
                && mounts.table().count(id.as_str()) == 0
            {
                let home = home_of(layers.table(), &id);
                let mut token = mounting(layers, &mut mounts)?;
                match self.gate.mounting(&mut token)?.unmount(&id, home, Extent::All) {
                    Ok(detached) => rubbish.add_mount(detached),
                    // Something that is no mount of ours stands there: it keeps nobody from working with other layers.
                    Err(error) if error.kind() == Kind::Busy => {}
                    Err(error) => return Err(error),
                }
            }
            self.mounting_done()?;
        }
        Ok((mounts, key))
    }

    /// Takes away mounts that nobody counts and nobody uses, and counts of what is mounted nowhere. What is in use, or in another
    /// mount namespace, is left. Returns how many mounts went, how many counts, and how many mounts are left.
    ///
    /// Looks first, without a lock; a flush, where one is due, comes before the locks too.
    pub(super) fn settle_mounts(&self, key: &mut ThreadKey) -> Result<(u64, u64, u64)> {
        let (table, counts) = (self.layers()?, self.mounts.snapshot()?);
        let suspects = if self.gate.has_kernel_mounts() { self.disagreements(&table, &counts) } else { Vec::new() };
        if suspects.is_empty() {
            return Ok((0, 0, 0));
        }
        for suspect in suspects.iter().filter(|suspect| suspect.count == 0) {
            if let Ok(mount) = std::fs::File::open(&suspect.path) {
                // An unmount that is not lazy flushes: what it needn't, makes nobody wait.
                let _ = rustix::fs::syncfs(&mount);
            }
        }
        let mut rubbish = Rubbish::of(self);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let certain = self.disagreements(layers.table(), mounts.table());
        let mut held = Held { layers: &mut layers, mounts: &mut mounts };
        let (mut gone, mut corrected, mut left) = (0, 0, 0);
        for one in certain {
            if one.count > 0 {
                held.set_count(one.id.as_str(), &one.path, 0)?;
                corrected += 1;
                continue;
            }
            if self.is_mounted_here(&mut held, &one.id)? {
                let home = home_of(held.layers.table(), &one.id);
                let mut token = mounting(held.layers, held.mounts)?;
                match self.gate.mounting(&mut token)?.unmount(&one.id, home, Extent::Unused) {
                    Ok(detached) => rubbish.add_mount(detached),
                    Err(error) if error.kind() == Kind::Busy => {}
                    Err(error) => return Err(error),
                }
            }
            // Others may have it in namespaces of theirs.
            if elsewhere::look(&one.path).holders.is_empty() { gone += 1 } else { left += 1 }
        }
        Ok((gone, corrected, left))
    }

    fn is_mounted_here(&self, held: &mut Held<'_, '_, '_>, id: &LayerId) -> Result<bool> {
        let home = home_of(held.layers.table(), id);
        self.gate.shared(&held.layers.shared())?.is_mounted(id, home)
    }

    /// Uncounts, then unmounts (R4).
    fn take_away(&self, held: &mut Held<'_, '_, '_>, id: &LayerId, rubbish: &mut Rubbish<'_>) -> Result<()> {
        let home = home_of(held.layers.table(), id);
        let path = self.gate.mount_point(id, home);
        let count = held.mounts.table().count(id.as_str());
        self.say_mounting(id.as_str())?;
        if count > 0 {
            held.set_count(id.as_str(), &path, 0)?;
        }
        let unmounted = {
            let mut token = mounting(held.layers, held.mounts)?;
            self.gate.mounting(&mut token)?.unmount(id, home, Extent::All)
        };
        match unmounted {
            Ok(detached) => rubbish.add_mount(detached),
            Err(error) => {
                held.set_count(id.as_str(), &path, count)?;
                self.mounting_done()?;
                return Err(error);
            }
        }
        self.mounting_done()
    }
}

/// The home of a layer; the store's own for one that has no record any more.
fn home_of(layers: &LayerTable, id: &LayerId) -> Home {
    layers.get(id.as_str()).map_or(Home::Own, |layer| layer.home())
}

impl Held<'_, '_, '_> {
    fn set_count(&mut self, id: &str, path: &std::path::Path, count: u64) -> Result<()> {
        let path = path.to_str().ok_or_else(|| {
            Error::new(Kind::NotSupported, "count mount").at(path).detail("the path of the store is not UTF-8")
        })?;
        let table = self.mounts.table().with_count(id, path, count);
        self.mounts.save(table, &[0])
    }
}
