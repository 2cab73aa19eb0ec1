//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use storage_core::driver::{
    self, Capabilities, Comparison, Detached, Driver, Exclusive, Extent, LayerRef, MountOptions, Mounting, Naive,
    OwnerMaps, Plan, Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::ids::LayerId;
use storage_core::mount::Features;
use storage_core::task::Task;

use crate::command::Installed;
use crate::compare::Compared;
use crate::heal::heal;
use crate::home::{Home, Owner, is_ours};
use crate::options::Options;
use crate::staged::StagedDataset;
use crate::survey::{capabilities, examine};
use crate::trash::{Reclaimable, trash};
use crate::{mounting, strays, sweep, view};

/// The driver, open on its home.
#[derive(Debug)]
pub struct Zfs {
    home: Home,
    pub(crate) options: Options,
    pub(crate) features: Features,
}

impl Zfs {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Features::of_kernel())
    }

    /// Opens the driver with the mount calls that `features` allows, for tests of what is done without them.
    pub fn open_with(request: &Request, features: Features) -> Result<Self> {
        let (options, datasets) = examine(request, Arc::new(Installed))?;
        let home = Home::new(&request.home, datasets);
        home.make()?;
        Ok(Zfs { home, options, features })
    }

    /// The home that `place` means.
    pub(crate) fn home(&self, place: driver::Home) -> Result<&Home> {
        check_place(place)?;
        Ok(&self.home)
    }

    /// The layers that this home made. Others may have datasets below the same root, and nobody can tell those that the
    /// reference made here from theirs: who finds one without a record must not take it for an orphan.
    fn names(&self) -> Result<Vec<String>> {
        let listing = self.home.datasets.listing()?;
        let mut names = Vec::new();
        for (name, dataset) in listing.datasets.iter().filter(|(name, _)| !is_ours(name)) {
            if self.home.owner(dataset.owner.as_deref())? == Owner::Ours {
                names.push(name.clone());
            }
        }
        Ok(names)
    }

    fn compare_with(&self, layer: &LayerRef, base: Option<&LayerRef>, maps: &OwnerMaps) -> Result<Box<dyn Comparison>> {
        let home = self.home(layer.home)?;
        let Some(base) = base else {
            return Ok(Box::new(Naive::new(view::view(home, layer, self.features)?, None, maps.clone())));
        };
        check_place(base.home)?;
        if let Some(compared) = Compared::new(home, layer, base, maps, self.features)? {
            return Ok(Box::new(compared));
        }
        let (new, old) = (view::view(home, layer, self.features)?, view::view(home, base, self.features)?);
        Ok(Box::new(Naive::new(new, Some(old), maps.clone())))
    }

    /// A clone doesn't know what of it is its own, so only an empty base layer surely has nothing.
    fn is_empty_base(&self, layer: &LayerRef) -> Result<bool> {
        if !layer.ancestors.is_empty() {
            return Ok(false);
        }
        let view = view::view(self.home(layer.home)?, layer, self.features)?;
        let entries = rustix::fs::Dir::read_from(view.root()).os("read directory", layer.id.as_str())?;
        let mut own = entries.flatten().filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."));
        Ok(own.next().is_none())
    }
}

/// Layers stand in the store's own home.
pub(crate) fn check_place(place: driver::Home) -> Result<()> {
    if place == driver::Home::Own {
        return Ok(());
    }
    Err(Error::new(Kind::NotSupported, "find home").detail("the zfs driver keeps layers in the store's own home only"))
}

impl Driver for Zfs {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.features)
    }

    fn has_kernel_mounts(&self) -> bool {
        true
    }

    fn status(&self) -> Vec<(String, String)> {
        let pool = self.home.datasets.root().split('/').next().unwrap_or_default().to_owned();
        let unknown = || vec!["unknown".to_owned(); 4];
        let values = self.home.datasets.properties("used,available,quota,compression").unwrap_or_else(|_| unknown());
        let state = std::fs::read_to_string(format!("/proc/spl/kstat/zfs/{pool}/state"));
        let health = state.map_or_else(|_| "unknown".to_owned(), |state| state.trim().to_owned());
        let mut pairs = vec![
            ("Zpool".to_owned(), pool),
            ("Zpool Health".to_owned(), health),
            ("Parent Dataset".to_owned(), self.home.datasets.root().to_owned()),
        ];
        let keys = ["Space Used By Parent", "Space Available", "Parent Quota", "Compression"];
        pairs.extend(keys.map(str::to_owned).into_iter().zip(values));
        pairs
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        match self.home(home)?.dataset(id) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, _held: &Shared<'_>, home: driver::Home) -> Result<Vec<String>> {
        check_place(home)?;
        self.names()
    }

    fn metadata(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        let home = self.home(layer.home)?;
        let mount_point = home.mount_point(&layer.id).display().to_string();
        let dataset = home.datasets.path(layer.id.as_str())?;
        Ok(vec![("Mountpoint".to_owned(), mount_point), ("Dataset".to_owned(), dataset)])
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<String> {
        Ok(self.home(home)?.dataset(id)?.guid)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::view(self.home(layer.home)?, layer, self.features)
    }

    fn compare(
        &self,
        _held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        self.compare_with(layer, base, maps)
    }

    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.is_empty_base(layer)
    }

    fn write_mark(&self, _held: &Shared<'_>, _id: &LayerId, _home: driver::Home) -> Result<Option<String>> {
        Ok(None)
    }

    fn mount_point(&self, id: &LayerId, _home: driver::Home) -> Result<PathBuf> {
        Ok(self.home.mount_point(id))
    }

    /// The names of datasets are on disk when the command that gave them ends.
    fn name_directories(&self, _home: driver::Home) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn is_mounted(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        mounting::is_attached(&self.home(home)?.mount_point(id))
    }

    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        strays::strays(&self.home)
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        let quota = self.options.limit(&plan.options, plan.writable)?;
        Ok(Box::new(StagedDataset::begin(self.home(plan.home)?, plan, quota, self.features)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId, home: driver::Home) -> Result<Box<dyn Trash>> {
        Ok(Box::new(Reclaimable(trash(self.home(home)?, id)?)))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()> {
        heal(self.home(layer.home)?, &layer.id)
    }

    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        strays::remove_strays(&self.home)
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        self.attach(layer, options)
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn unmount(&self, _held: &mut Mounting<'_>, id: &LayerId, home: driver::Home, extent: Extent) -> Result<Detached> {
        mounting::detach(self.home(home)?, id, extent)
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        sweep::sweep(&self.home, deadline, task)
    }
}
