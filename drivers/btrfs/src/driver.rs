//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::time::Instant;

use storage_core::archive::Change;
use storage_core::driver::{
    self, Capabilities, Comparison, Detached, Driver, Exclusive, Extent, Homes, LayerRef, MountOptions, Mounting,
    OwnerMaps, PinnedDir, Plan, Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::error::{OsContext, Result};
use storage_core::fs::open_directory;
use storage_core::fs::tempdir::Trashed;
use storage_core::ids::LayerId;
use storage_core::mount::{Features, filesystem_type};
use storage_core::task::Task;

use crate::compare::Compared;
use crate::home::Home;
use crate::options::Options;
use crate::staged::{StagedSubvolume, forget_limit};
use crate::{mounting, snapshot, survey, view};

/// How the driver works, apart from what it was told: a value, so that tests can take each way away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// The mount calls.
    pub features: Features,
    /// Layers that are compared are snapshotted, which only who may destroy a snapshot does.
    pub snapshots: bool,
    /// The kernel is asked what differs.
    pub send: bool,
}

impl Ways {
    /// What this kernel has and permits this process.
    pub fn of_process() -> Self {
        let privileged = survey::is_privileged();
        Ways { features: Features::of_kernel(), snapshots: privileged, send: privileged }
    }
}

/// The driver, open on its home.
#[derive(Debug)]
pub struct Btrfs {
    pub(crate) homes: Homes<Home>,
    pub(crate) ways: Ways,
    pub(crate) options: Options,
}

impl Btrfs {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Ways::of_process())
    }

    /// Opens the driver with the ways that are left, for tests of what is done without the others.
    pub fn open_with(request: &Request, ways: Ways) -> Result<Self> {
        let options = Options::parse(&request.options)?;
        survey::examine(request)?;
        let homes = Homes::new(request, Home::new);
        homes.writable_ones().try_for_each(Home::make)?;
        Ok(Btrfs { homes, ways, options })
    }

    pub(crate) fn compare_with(&self, layer: &LayerRef, base: Option<&LayerRef>, maps: &OwnerMaps) -> Result<Compared> {
        let pin = |layer: &LayerRef| {
            let home = self.homes.of(layer.home)?;
            PinnedDir::open_in(layer.home, home.root(), home.layer(&layer.id))
        };
        let dirs = self.homes.own().tempdirs();
        Ok(Compared::new(pin(layer)?, base.map(pin).transpose()?, maps.clone(), self.ways, dirs))
    }

    /// How `layer` differs from `base`, told by the kernel alone: for tests, which compare it with a walk. Fails where the
    /// driver would walk.
    pub fn changes_by_send(
        &self,
        _held: &Shared<'_>,
        layer: &LayerRef,
        base: &LayerRef,
        task: &Task,
    ) -> Result<Vec<Change>> {
        self.compare_with(layer, Some(base), &OwnerMaps::default())?.changes_by_send(task)
    }

    pub(crate) fn is_untouched_layer(&self, layer: &LayerRef) -> Result<bool> {
        let path = self.homes.of(layer.home)?.layer(&layer.id);
        if !layer.ancestors.is_empty() {
            return view::is_unchanged_snapshot(&open_directory(&path)?, &path);
        }
        let mut entries = std::fs::read_dir(&path).os("read directory", &path)?;
        Ok(entries.next().is_none())
    }

    pub(crate) fn trash(&self, id: &LayerId, home: driver::Home) -> Result<Option<Trashed>> {
        let home = self.homes.writable(home)?;
        let path = home.layer(id);
        let trashed = home.tempdirs().trash(&path).or_else(|error| match error.errno() {
            // Somebody made it read-only: then it can't be moved to another directory.
            Some(libc::EROFS) if snapshot::make_writable(&path)? => home.tempdirs().trash(&path),
            _ => Err(error),
        })?;
        // Also without a layer there may be a limit: somebody may have been killed in between.
        forget_limit(home, id)?;
        Ok(trashed)
    }
}

impl Driver for Btrfs {
    fn capabilities(&self) -> Capabilities {
        survey::capabilities(self.homes.own().root(), self.ways.features, self.ways.send)
    }

    fn has_kernel_mounts(&self) -> bool {
        false
    }

    fn status(&self) -> Vec<(String, String)> {
        let backing = filesystem_type(self.homes.own().root()).map_or("<unknown>", |found| found.name());
        vec![("Backing Filesystem".to_owned(), backing.to_owned())]
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        Ok(self.homes.of(home)?.has(id))
    }

    fn list(&self, _held: &Shared<'_>, home: driver::Home) -> Result<Vec<String>> {
        self.homes.of(home)?.list()
    }

    fn metadata(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<String> {
        let path = self.homes.of(home)?.layer(id);
        view::identity(&open_directory(&path)?, &path)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::view(&self.homes, layer, self.ways.features)
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

    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.is_untouched_layer(layer)
    }

    /// A mount leaves no mark. What is written to a layer does, once it is on its way to disk, and [`Staged::replace`] looks
    /// at that mark itself: it knows which writes are its own snapshot's doing.
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
        Ok(Box::new(StagedSubvolume::begin(&self.homes, plan, &self.options)?))
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
