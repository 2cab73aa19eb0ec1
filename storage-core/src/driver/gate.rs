//! The gate: the only way from a store to its driver.
//!
//! It compares the store of a token with its own, so that proof of a hold on one store opens nothing of another (R9).

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use super::recorded;
use super::{
    Capabilities, Comparison, Detached, Driver, Exclusive, Extent, Flaw, Home, LayerRef, MountOptions, Mounting,
    OwnerMaps, Plan, RootFrom, Shared, Staged, Swept, Trash, View, declared,
};
use crate::archive::Whiteouts;
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::StoreId;
use crate::record::{Proof, call};
use crate::task::Task;

/// A driver behind its store's gate.
#[derive(Debug)]
pub struct Gate {
    store: StoreId,
    driver: Box<dyn Driver>,
    /// What it can do, once that was asked.
    capabilities: OnceLock<Capabilities>,
}

/// What may be asked of a driver under a shared hold.
#[derive(Debug)]
pub struct SharedAccess<'a, 'g> {
    gate: &'a Gate,
    driver: &'a dyn Driver,
    held: &'a Shared<'g>,
}

/// What may be asked of a driver under an exclusive hold.
#[derive(Debug)]
pub struct ExclusiveAccess<'a, 'g> {
    driver: &'a dyn Driver,
    held: &'a mut Exclusive<'g>,
}

/// What may be asked of a driver by who may mount.
#[derive(Debug)]
pub struct MountingAccess<'a, 'g> {
    gate: &'a Gate,
    driver: &'a dyn Driver,
    held: &'a mut Mounting<'g>,
}

impl Gate {
    /// The gate of store `store` to `driver`.
    pub fn new(store: StoreId, driver: Box<dyn Driver>) -> Self {
        Gate { store, driver, capabilities: OnceLock::new() }
    }

    fn check(&self, store: StoreId) -> Result<()> {
        if store == self.store {
            return Ok(());
        }
        Err(Error::new(Kind::LockMisuse, "reach the driver").detail("the proof of a hold is of another store"))
    }

    /// With proof of a shared hold. Fails with [`Kind::LockMisuse`] for a token of another store.
    pub fn shared<'a, 'g>(&'a self, held: &'a Shared<'g>) -> Result<SharedAccess<'a, 'g>> {
        self.check(held.store())?;
        Ok(SharedAccess { gate: self, driver: &*self.driver, held })
    }

    /// With proof of an exclusive hold. Fails with [`Kind::LockMisuse`] for a token of another store.
    pub fn exclusive<'a, 'g>(&'a self, held: &'a mut Exclusive<'g>) -> Result<ExclusiveAccess<'a, 'g>> {
        self.check(held.store())?;
        Ok(ExclusiveAccess { driver: &*self.driver, held })
    }

    /// With proof of a hold for mounting. Fails with [`Kind::LockMisuse`] for a token of another store.
    pub fn mounting<'a, 'g>(&'a self, held: &'a mut Mounting<'g>) -> Result<MountingAccess<'a, 'g>> {
        self.check(held.store())?;
        Ok(MountingAccess { gate: self, driver: &*self.driver, held })
    }

    /// What the driver can do. Needs no lock; it may be tried out when it is asked for the first time.
    pub fn capabilities(&self) -> Capabilities {
        *self.capabilities.get_or_init(|| {
            let asked = call("capabilities", Proof::None, None, || Ok(self.driver.capabilities()));
            asked.unwrap_or(Capabilities::NONE)
        })
    }

    /// Whether mounts are the kernel's.
    pub fn has_kernel_mounts(&self) -> bool {
        self.driver.has_kernel_mounts()
    }

    /// Whether a layer in the making may learn its parent late. Needs no lock.
    pub fn parents_may_come_late(&self) -> bool {
        self.driver.parents_may_come_late()
    }

    /// Pairs for `status`. Needs no lock.
    pub fn status(&self) -> Vec<(String, String)> {
        self.driver.status()
    }

    /// Where a mount of the layer is shown. Needs no lock.
    pub fn mount_point(&self, id: &LayerId, home: Home) -> Result<PathBuf> {
        self.driver.mount_point(id, home)
    }

    /// The directories of a home whose entries name layers. Needs no lock.
    pub fn name_directories(&self, home: Home) -> Result<Vec<PathBuf>> {
        self.driver.name_directories(home)
    }

    /// How whiteouts stand among a layer's own files. Needs no lock.
    pub fn whiteouts(&self) -> Whiteouts {
        self.driver.whiteouts()
    }

    /// The directory of the layer's own files. Needs no lock.
    pub fn own_directory(&self, id: &LayerId, home: Home) -> Result<Option<PathBuf>> {
        self.driver.own_directory(id, home)
    }

    /// The directories of staging and trash. Needs no lock.
    pub fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        self.driver.staging_homes()
    }

    /// Reclaims what died. Needs no store lock, and is called without one (R6).
    pub fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        call("sweep", Proof::None, None, || self.driver.sweep(deadline, task))
    }
}

impl SharedAccess<'_, '_> {
    /// See [`Driver::exists`].
    pub fn exists(&self, id: &LayerId, home: Home) -> Result<bool> {
        call("exists", Proof::Shared, Some(id.as_str()), || self.driver.exists(self.held, id, home))
    }

    /// See [`Driver::list`].
    pub fn list(&self, home: Home) -> Result<Vec<String>> {
        call("list", Proof::Shared, None, || self.driver.list(self.held, home))
    }

    /// See [`Driver::metadata`].
    pub fn metadata(&self, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        call("metadata", Proof::Shared, Some(layer.id.as_str()), || self.driver.metadata(self.held, layer))
    }

    /// See [`Driver::identity`].
    pub fn identity(&self, id: &LayerId, home: Home) -> Result<String> {
        call("identity", Proof::Shared, Some(id.as_str()), || self.driver.identity(self.held, id, home))
    }

    /// See [`Driver::view`].
    pub fn view(&self, layer: &LayerRef) -> Result<View> {
        let view = call("view", Proof::Shared, Some(layer.id.as_str()), || self.driver.view(self.held, layer))?;
        Ok(recorded::view(view, &layer.id))
    }

    /// See [`Driver::own_files`].
    pub fn own_files(&self, layer: &LayerRef) -> Result<View> {
        let view =
            call("own files", Proof::Shared, Some(layer.id.as_str()), || self.driver.own_files(self.held, layer))?;
        Ok(recorded::view(view, &layer.id))
    }

    /// See [`Driver::compare`].
    pub fn compare(&self, layer: &LayerRef, base: Option<&LayerRef>, maps: &OwnerMaps) -> Result<Box<dyn Comparison>> {
        let comparison = call("compare", Proof::Shared, Some(layer.id.as_str()), || {
            self.driver.compare(self.held, layer, base, maps)
        })?;
        Ok(recorded::comparison(comparison, &layer.id))
    }

    /// See [`Driver::is_untouched`].
    pub fn is_untouched(&self, layer: &LayerRef) -> Result<bool> {
        call("is untouched", Proof::Shared, Some(layer.id.as_str()), || self.driver.is_untouched(self.held, layer))
    }

    /// See [`Driver::write_mark`].
    pub fn write_mark(&self, id: &LayerId, home: Home) -> Result<Option<String>> {
        call("write mark", Proof::Shared, Some(id.as_str()), || self.driver.write_mark(self.held, id, home))
    }

    /// See [`Driver::is_mounted`].
    pub fn is_mounted(&self, id: &LayerId, home: Home) -> Result<bool> {
        call("is mounted", Proof::Shared, Some(id.as_str()), || self.driver.is_mounted(self.held, id, home))
    }

    /// See [`Driver::examine`].
    pub fn examine(&self, layer: &LayerRef) -> Result<Vec<Flaw>> {
        call("examine", Proof::Shared, Some(layer.id.as_str()), || self.driver.examine(self.held, layer))
    }

    /// See [`Driver::strays`].
    pub fn strays(&self) -> Result<Vec<PathBuf>> {
        call("strays", Proof::Shared, None, || self.driver.strays(self.held))
    }

    /// See [`Driver::recall_parent`].
    pub fn recall_parent(&self, id: &LayerId, home: Home) -> Result<Option<LayerId>> {
        call("recall parent", Proof::Shared, Some(id.as_str()), || self.driver.recall_parent(self.held, id, home))
    }

    /// See [`Driver::begin`]. Fails with [`Kind::NotSupported`] for a limit where the driver has no quotas.
    pub fn begin(&self, plan: &Plan) -> Result<Box<dyn Staged>> {
        declared::check_plan(plan, || self.gate.capabilities())?;
        call("begin", Proof::Shared, None, || self.driver.begin(self.held, plan)).map(recorded::staged)
    }

    /// See [`Staged::settle`].
    pub fn settle(&self, staged: &mut dyn Staged, parent: &LayerRef, root: RootFrom) -> Result<()> {
        call("settle", Proof::Shared, Some(parent.id.as_str()), || staged.settle(self.held, parent, root))
    }
}

impl ExclusiveAccess<'_, '_> {
    /// See [`Staged::commit`].
    pub fn commit(&mut self, staged: &mut dyn Staged, id: &LayerId) -> Result<()> {
        call("commit", Proof::Exclusive, Some(id.as_str()), || staged.commit(self.held, id))
    }

    /// See [`Staged::replace`].
    pub fn replace(&mut self, staged: &mut dyn Staged, id: &LayerId) -> Result<Box<dyn Trash>> {
        call("replace", Proof::Exclusive, Some(id.as_str()), || staged.replace(self.held, id))
            .map(|trash| recorded::trash(trash, id))
    }

    /// See [`Driver::remove`].
    pub fn remove(&mut self, id: &LayerId, home: Home) -> Result<Box<dyn Trash>> {
        call("remove", Proof::Exclusive, Some(id.as_str()), || self.driver.remove(self.held, id, home))
            .map(|trash| recorded::trash(trash, id))
    }

    /// See [`Driver::heal`].
    pub fn heal(&mut self, layer: &LayerRef) -> Result<()> {
        call("heal", Proof::Exclusive, Some(layer.id.as_str()), || self.driver.heal(self.held, layer))
    }

    /// See [`Driver::remove_strays`].
    pub fn remove_strays(&mut self) -> Result<u64> {
        call("remove strays", Proof::Exclusive, None, || self.driver.remove_strays(self.held))
    }
}

impl MountingAccess<'_, '_> {
    /// See [`Driver::mount`]. Fails with [`Kind::NotSupported`] for mapped owners where the driver can't show them.
    pub fn mount(&mut self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        declared::check_mount(options, || self.gate.capabilities())?;
        call("mount", Proof::Mounting, Some(layer.id.as_str()), || self.driver.mount(self.held, layer, options))
    }

    /// See [`Driver::unmount`].
    pub fn unmount(&mut self, id: &LayerId, home: Home, extent: Extent) -> Result<Detached> {
        call("unmount", Proof::Mounting, Some(id.as_str()), || self.driver.unmount(self.held, id, home, extent))
            .map(|detached| detached.recorded(Some(id.as_str())))
    }

    /// See [`Driver::retire`].
    pub fn retire(&mut self) -> Result<Detached> {
        call("retire", Proof::Mounting, None, || self.driver.retire(self.held)).map(|detached| detached.recorded(None))
    }
}
