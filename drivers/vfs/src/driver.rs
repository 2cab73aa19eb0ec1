//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::time::Instant;

use storage_core::driver::{
    self, Capabilities, Comparison, Detached, Driver, Exclusive, Extent, Homes, LayerRef, MountOptions, Mounting,
    Naive, OwnerMaps, Plan, Refusals, Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::error::{OsContext, Result};
use storage_core::fs::probe::has_reflink;
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{lasting_identity, open_directory};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, filesystem_type};
use storage_core::task::Task;

use crate::home::Home;
use crate::staged::StagedTree;
use crate::{mounting, options, survey, view};

/// The driver, open on its home.
#[derive(Debug)]
pub struct Vfs {
    pub(crate) homes: Homes<Home>,
    pub(crate) features: Features,
    pub(crate) refusals: Refusals,
}

impl Vfs {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Features::of_kernel())
    }

    /// Opens the driver with the mount calls that `features` allows, for tests of what is done without them.
    pub fn open_with(request: &Request, features: Features) -> Result<Self> {
        let refusals = options::parse(&request.options)?;
        let homes = Homes::new(request, Home::new);
        homes.writable_ones().try_for_each(Home::make)?;
        Ok(Vfs { homes, features, refusals })
    }

    pub(crate) fn view_of(&self, layer: &LayerRef) -> Result<View> {
        view::view(&self.homes, layer, self.features)
    }

    pub(crate) fn compare_with(&self, layer: &LayerRef, base: Option<&LayerRef>, maps: &OwnerMaps) -> Result<Naive> {
        let base = base.map(|base| self.view_of(base)).transpose()?;
        Ok(Naive::new(self.view_of(layer)?, base, maps.clone()))
    }

    pub(crate) fn identity_of(&self, id: &LayerId, home: driver::Home) -> Result<String> {
        let path = self.homes.of(home)?.layer(id);
        lasting_identity(open_directory(&path)?, &path)
    }

    pub(crate) fn is_empty_base(&self, layer: &LayerRef) -> Result<bool> {
        let path = self.homes.of(layer.home)?.layer(&layer.id);
        let mut entries = std::fs::read_dir(&path).os("read directory", &path)?;
        Ok(layer.ancestors.is_empty() && entries.next().is_none())
    }

    pub(crate) fn trash(&self, id: &LayerId, home: driver::Home) -> Result<Option<Trashed>> {
        let home = self.homes.writable(home)?;
        home.tempdirs().trash(&home.layer(id))
    }
}

impl Driver for Vfs {
    fn capabilities(&self) -> Capabilities {
        survey::capabilities(has_reflink(self.homes.own().root()), self.features)
    }

    fn has_kernel_mounts(&self) -> bool {
        false
    }

    fn status(&self) -> Vec<(String, String)> {
        let backing = filesystem_type(self.homes.own().root()).map_or("<unknown>", |found| found.name());
        vec![("Backing Filesystem".to_owned(), backing.to_owned())]
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        self.homes.of(home)?.has(id)
    }

    fn list(&self, _held: &Shared<'_>, home: driver::Home) -> Result<Vec<String>> {
        self.homes.of(home)?.list()
    }

    fn metadata(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<String> {
        self.identity_of(id, home)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        self.view_of(layer)
    }

    fn compare(
        &self,
        _held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        Ok(Box::new(self.compare_with(layer, base, maps)?))
    }

    /// A copy doesn't know what of it is its own, so only an empty base layer surely has nothing.
    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.is_empty_base(layer)
    }

    fn write_mark(&self, _held: &Shared<'_>, _id: &LayerId, _home: driver::Home) -> Result<Option<String>> {
        Ok(None)
    }

    fn mount_point(&self, id: &LayerId, home: driver::Home) -> Result<PathBuf> {
        Ok(self.homes.of(home).unwrap_or(self.homes.own()).layer(id))
    }

    fn name_directories(&self, home: driver::Home) -> Result<Vec<PathBuf>> {
        Ok(self.homes.writable(home).map_or_else(|_| Vec::new(), |home| vec![home.layers()]))
    }

    fn is_mounted(&self, _held: &Shared<'_>, _id: &LayerId, _home: driver::Home) -> Result<bool> {
        Ok(false)
    }

    fn own_directory(&self, id: &LayerId, home: driver::Home) -> Result<Option<PathBuf>> {
        Ok(self.homes.of(home).ok().map(|home| home.layer(id)))
    }

    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        Ok(self.homes.writable_ones().map(|home| home.tempdirs().root().to_path_buf()).collect())
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedTree::begin(&self.homes, plan, self.refusals)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId, home: driver::Home) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.trash(id, home)?))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, _layer: &LayerRef) -> Result<()> {
        Ok(())
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        mounting::mount(self.homes.of(layer.home)?, &layer.id, options)
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn unmount(
        &self,
        _held: &mut Mounting<'_>,
        _id: &LayerId,
        _home: driver::Home,
        _extent: Extent,
    ) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        let mut swept = Swept::default();
        for home in self.homes.writable_ones() {
            let (reclaimed, left) = home.tempdirs().sweep(deadline, task)?;
            swept.reclaimed += reclaimed;
            swept.left += left;
        }
        Ok(swept)
    }
}
