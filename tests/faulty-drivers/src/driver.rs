//! A good driver with one thing done wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use parking_lot::Mutex;
use storage_core::Result;
use storage_core::archive::Whiteouts;
use storage_core::driver::{
    Capabilities, Comparison, Detached, Driver, Exclusive, Extent, Flaw, Home, LayerRef, MountOptions, Mounting,
    OwnerMaps, Plan, Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::ids::LayerId;
use storage_core::task::Task;

use crate::Fault;
use crate::handles::{FaultyComparison, FaultyStaged};
use crate::misdeeds::{Mark, Store, detach};

/// A driver that does one thing wrong, and everything else as another driver does.
#[derive(Debug)]
pub struct Faulty {
    inner: Box<dyn Driver>,
    fault: Fault,
    store: Store,
    scrap: PathBuf,
    /// What only this process knows to be attached.
    attached: Mutex<BTreeMap<String, PathBuf>>,
}

impl Faulty {
    /// `inner` with `fault`.
    pub fn new(inner: Box<dyn Driver>, fault: Fault, request: &Request) -> Self {
        let (store, scrap) = (Store::of(request), request.run_home.clone());
        Faulty { inner, fault, store, scrap, attached: Mutex::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Driver for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn has_kernel_mounts(&self) -> bool {
        self.inner.has_kernel_mounts()
    }

    fn parents_may_come_late(&self) -> bool {
        self.inner.parents_may_come_late()
    }

    fn status(&self) -> Vec<(String, String)> {
        self.inner.status()
    }

    fn exists(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        if self.has(Fault::MountsForAMoment) {
            detach(&self.store.attach("moment"));
        }
        self.inner.exists(held, id, home)
    }

    fn list(&self, held: &Shared<'_>, home: Home) -> Result<Vec<String>> {
        self.inner.list(held, home)
    }

    fn metadata(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        if self.has(Fault::TakesALockTwice) {
            drop(self.store.take_layers_lock());
        }
        self.inner.metadata(held, layer)
    }

    fn identity(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<String> {
        self.inner.identity(held, id, home)
    }

    fn view(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        self.inner.view(held, layer)
    }

    fn own_files(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        self.inner.own_files(held, layer)
    }

    fn compare(
        &self,
        held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        let inner = self.inner.compare(held, layer, base, maps)?;
        let point = self.has(Fault::MountsWhileDiffing).then(|| self.store.attach(layer.id.as_str()));
        let kept = if self.has(Fault::KeepsAHandle) { self.store.keep_layers_lock() } else { None };
        Ok(Box::new(FaultyComparison { inner, point, _kept: kept }))
    }

    fn is_untouched(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.inner.is_untouched(held, layer)
    }

    fn write_mark(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<String>> {
        self.inner.write_mark(held, id, home)
    }

    fn mount_point(&self, id: &LayerId, home: Home) -> Result<PathBuf> {
        self.inner.mount_point(id, home)
    }

    fn name_directories(&self, home: Home) -> Result<Vec<PathBuf>> {
        self.inner.name_directories(home)
    }

    fn is_mounted(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        self.inner.is_mounted(held, id, home)
    }

    fn examine(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<Flaw>> {
        self.inner.examine(held, layer)
    }

    fn strays(&self, held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        self.inner.strays(held)
    }

    fn recall_parent(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<LayerId>> {
        self.inner.recall_parent(held, id, home)
    }

    fn whiteouts(&self) -> Whiteouts {
        self.inner.whiteouts()
    }

    fn own_directory(&self, id: &LayerId, home: Home) -> Result<Option<PathBuf>> {
        self.inner.own_directory(id, home)
    }

    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        self.inner.staging_homes()
    }

    fn begin(&self, held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        let (fault, store, scrap) = (self.fault, self.store.clone(), self.scrap.clone());
        let mark = if self.has(Fault::FailsAfterADeath) { Some(Mark::make(&scrap)?) } else { None };
        Ok(Box::new(FaultyStaged { inner: self.inner.begin(held, plan)?, fault, store, scrap, _mark: mark }))
    }

    fn remove(&self, held: &mut Exclusive<'_>, id: &LayerId, home: Home) -> Result<Box<dyn Trash>> {
        if self.has(Fault::UnmountsWithoutAsking) {
            self.store.detach_all();
        }
        self.inner.remove(held, id, home)
    }

    fn heal(&self, held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()> {
        self.inner.heal(held, layer)
    }

    fn remove_strays(&self, held: &mut Exclusive<'_>) -> Result<u64> {
        self.inner.remove_strays(held)
    }

    fn mount(&self, held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        match self.fault {
            Fault::TakesLocksInTheWrongOrder => self.store.take_an_earlier_lock(),
            Fault::ReplacesTheLockFile => self.store.replace_layers_lock(),
            Fault::LeavesAMountAfterAKill => {
                let id = layer.id.as_str();
                self.attached.lock().insert(id.to_owned(), self.store.attach(id));
            }
            _ => {}
        }
        self.inner.mount(held, layer, options)
    }

    fn unmount(&self, held: &mut Mounting<'_>, id: &LayerId, home: Home, extent: Extent) -> Result<Detached> {
        if self.has(Fault::LosesACount) {
            self.store.forget_counts();
        }
        if let Some(point) = self.attached.lock().remove(id.as_str()) {
            detach(&point);
        }
        self.inner.unmount(held, id, home, extent)
    }

    fn retire(&self, held: &mut Mounting<'_>) -> Result<Detached> {
        self.inner.retire(held)
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        self.inner.sweep(deadline, task)
    }
}
