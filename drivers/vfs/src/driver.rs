//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::time::Instant;

use storage_core::driver::{
    Capabilities, Comparison, Detached, Driver, Exclusive, Extent, LayerRef, MountOptions, Mounting, Naive, Plan,
    Request, Shared, Staged, Swept, Trash, View,
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
    pub(crate) home: Home,
    pub(crate) features: Features,
}

impl Vfs {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Features::of_kernel())
    }

    /// Opens the driver with the mount calls that `features` allows, for tests of what is done without them.
    pub fn open_with(request: &Request, features: Features) -> Result<Self> {
        options::check(&request.options)?;
        let home = Home::new(&request.home);
        home.make()?;
        Ok(Vfs { home, features })
    }

    pub(crate) fn view_of(&self, layer: &LayerRef) -> Result<View> {
        view::view(&self.home, &layer.id, self.features)
    }

    pub(crate) fn compare_with(&self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Naive> {
        let base = base.map(|base| self.view_of(base)).transpose()?;
        Ok(Naive::new(self.view_of(layer)?, base))
    }

    pub(crate) fn identity_of(&self, id: &LayerId) -> Result<String> {
        let path = self.home.layer(id);
        lasting_identity(open_directory(&path)?, &path)
    }

    pub(crate) fn is_empty_base(&self, layer: &LayerRef) -> Result<bool> {
        let path = self.home.layer(&layer.id);
        let mut entries = std::fs::read_dir(&path).os("read directory", &path)?;
        Ok(layer.ancestors.is_empty() && entries.next().is_none())
    }

    pub(crate) fn trash(&self, id: &LayerId) -> Result<Option<Trashed>> {
        self.home.tempdirs().trash(&self.home.layer(id))
    }
}

impl Driver for Vfs {
    fn capabilities(&self) -> Capabilities {
        survey::capabilities(has_reflink(self.home.root()), self.features)
    }

    fn has_kernel_mounts(&self) -> bool {
        false
    }

    fn status(&self) -> Vec<(String, String)> {
        let backing = filesystem_type(self.home.root()).map_or("<unknown>", |found| found.name());
        vec![("Backing Filesystem".to_owned(), backing.to_owned())]
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId) -> Result<bool> {
        Ok(self.home.layer(id).is_dir())
    }

    fn list(&self, _held: &Shared<'_>) -> Result<Vec<String>> {
        self.home.list()
    }

    fn metadata(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId) -> Result<String> {
        self.identity_of(id)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        self.view_of(layer)
    }

    fn compare(&self, _held: &Shared<'_>, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Box<dyn Comparison>> {
        Ok(Box::new(self.compare_with(layer, base)?))
    }

    /// A copy doesn't know what of it is its own, so only an empty base layer surely has nothing.
    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.is_empty_base(layer)
    }

    fn write_mark(&self, _held: &Shared<'_>, _id: &LayerId) -> Result<Option<String>> {
        Ok(None)
    }

    fn mount_point(&self, id: &LayerId) -> PathBuf {
        self.home.layer(id)
    }

    fn name_directories(&self) -> Vec<PathBuf> {
        vec![self.home.root().join("dir")]
    }

    fn is_mounted(&self, _held: &Shared<'_>, _id: &LayerId) -> Result<bool> {
        Ok(false)
    }

    fn own_directory(&self, id: &LayerId) -> Option<PathBuf> {
        Some(self.home.layer(id))
    }

    fn staging_homes(&self) -> Vec<PathBuf> {
        vec![self.home.tempdirs().root().to_path_buf()]
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedTree::begin(&self.home, plan)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.trash(id)?))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, _layer: &LayerRef) -> Result<()> {
        Ok(())
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        mounting::mount(&self.home, &layer.id, options)
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn unmount(&self, _held: &mut Mounting<'_>, _id: &LayerId, _extent: Extent) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        let (reclaimed, left) = self.home.tempdirs().sweep(deadline, task)?;
        Ok(Swept { reclaimed, left })
    }
}
