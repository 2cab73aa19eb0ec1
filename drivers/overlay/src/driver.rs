//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use storage_core::archive::Whiteouts;
use storage_core::driver::{
    self, Capabilities, Capability, Comparison, Detached, Driver, Exclusive, Extent, Flaw, Homes, LayerRef,
    MountOptions, Mounting, OwnerMaps, Plan, Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{lasting_identity, open_directory};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, filesystem_type, in_user_namespace, is_mount_root};
use storage_core::task::Task;

use crate::chain::Step;
use crate::compare::Compared;
use crate::examine;
use crate::heal::{heal, remove_link};
use crate::home::Home;
use crate::options::Options;
use crate::part::Part;
use crate::private_home;
use crate::staged::StagedLayer;
use crate::survey::{Support, examine, remember, remember_mapping, supports_mapping};
use crate::view::{self, Way};

/// The driver, open on its home.
#[derive(Debug)]
pub struct Overlay {
    pub(crate) homes: Homes<Home>,
    pub(crate) run_home: PathBuf,
    pub(crate) options: Options,
    pub(crate) way: Way,
    pub(crate) kernel: Support,
    /// Whether lower layers can be shown with mapped owners, once that was tried.
    pub(crate) mapping: OnceLock<bool>,
}

impl Overlay {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Features::of_kernel())
    }

    /// Opens the driver with the mount calls that `features` allows, for tests of what is done without them.
    pub fn open_with(request: &Request, features: Features) -> Result<Self> {
        let kernel = examine(request, features)?;
        let homes = Homes::new(request, Home::new);
        homes.writable_ones().try_for_each(|home| home.check_native().and_then(|()| home.make()))?;
        remember(&request.run_home, kernel);
        let way = Way { features, user_xattr: in_user_namespace() };
        let options = Options::parse(&request.options)?;
        Ok(Overlay { homes, run_home: request.run_home.clone(), options, way, kernel, mapping: OnceLock::new() })
    }

    /// Whether lower layers can be shown with mapped owners. Costs a process and a mount when it is first asked after a boot.
    pub(crate) fn maps_owners(&self) -> bool {
        let home = self.homes.own().root();
        *self.mapping.get_or_init(|| {
            let works = supports_mapping(home, &self.run_home, self.way.features);
            remember_mapping(&self.run_home, works);
            works
        })
    }

    fn identity_of(&self, id: &LayerId, home: driver::Home) -> Result<String> {
        let diff = self.homes.of(home)?.diff(id);
        lasting_identity(open_directory(&diff)?, &diff)
    }

    fn has_no_changes(&self, layer: &LayerRef) -> Result<bool> {
        let part = Part::open(&self.homes, &layer.id, layer.home)?;
        let diff = part.pin.path().join("diff");
        let mut entries = std::fs::read_dir(&diff).os("read directory", &diff)?;
        Ok(part.is_single() && entries.next().is_none())
    }

    fn trash(&self, id: &LayerId, home: driver::Home) -> Result<Option<Trashed>> {
        let merged = self.merged(id, home);
        let home = self.homes.writable(home)?;
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "remove layer").at(merged).detail("the layer is mounted"));
        }
        remove_link(home, id)?;
        home.tempdirs().trash(&home.layer(id))
    }

    fn places(&self, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        let path = self.homes.of(layer.home)?.layer(&layer.id);
        let pair = |key: &str, path: PathBuf| (key.to_owned(), path.display().to_string());
        let mut pairs = vec![
            pair("WorkDir", path.join("work")),
            pair("MergedDir", self.merged(&layer.id, layer.home)),
            pair("UpperDir", path.join("diff")),
        ];
        let lowers = crate::chain::lowers(&self.homes, layer)?;
        if !lowers.is_empty() {
            let place = |step: &Step| Ok(self.homes.of(step.layer.home)?.diff(&step.layer.id).display().to_string());
            let names: Vec<_> = lowers.iter().map(place).collect::<Result<_>>()?;
            pairs.push(("LowerDir".to_owned(), names.join(":")));
        }
        Ok(pairs)
    }
}

impl Driver for Overlay {
    fn capabilities(&self) -> Capabilities {
        self.kernel
            .capabilities(self.way.features, self.homes.own().root())
            .with(Capability::IdMappedMounts, self.maps_owners())
    }

    fn has_kernel_mounts(&self) -> bool {
        true
    }

    fn parents_may_come_late(&self) -> bool {
        true
    }

    fn status(&self) -> Vec<(String, String)> {
        let backing = filesystem_type(self.homes.own().root()).map_or("<unknown>", |found| found.name());
        let metacopy = self.kernel.metacopy && self.options.mount_flags().value("metacopy") == Some("on");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let word = |yes: bool| if yes { "true" } else { "false" };
        vec![
            pair("Backing Filesystem", backing),
            pair("Supports d_type", "true"),
            pair("Native Overlay Diff", "true"),
            pair("Using metacopy", word(metacopy)),
            pair("Supports shifting", word(self.maps_owners())),
            pair("Supports volatile", word(self.kernel.volatile)),
        ]
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        self.homes.of(home)?.has(id)
    }

    fn list(&self, _held: &Shared<'_>, home: driver::Home) -> Result<Vec<String>> {
        self.homes.of(home)?.list()
    }

    fn metadata(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        self.places(layer)
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<String> {
        self.identity_of(id, home)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::view(&self.homes, layer, self.way)
    }

    fn own_files(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::own_files(&self.homes, layer, self.way)
    }

    fn compare(
        &self,
        _held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        Ok(Box::new(Compared::new(&self.homes, layer, base, maps, self.way)?))
    }

    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.has_no_changes(layer)
    }

    fn write_mark(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<Option<String>> {
        // The kernel makes its directory below `work` anew at each mount that can write.
        let path = self.homes.of(home)?.layer(id).join("work/work");
        match nix::sys::stat::lstat(&path) {
            Ok(stat) => Ok(Some(format!("{}:{}.{}", stat.st_ino, stat.st_ctime, stat.st_ctime_nsec))),
            Err(nix::errno::Errno::ENOENT) => Ok(Some(String::new())),
            Err(errno) => Err(errno).os("lstat", path),
        }
    }

    fn mount_point(&self, id: &LayerId, home: driver::Home) -> Result<PathBuf> {
        Ok(self.merged(id, home))
    }

    fn name_directories(&self, home: driver::Home) -> Result<Vec<PathBuf>> {
        let home = self.homes.writable(home);
        Ok(home.map_or_else(|_| Vec::new(), |home| vec![home.root().to_path_buf(), home.links()]))
    }

    fn is_mounted(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<bool> {
        Self::is_attached(&self.merged(id, home))
    }

    fn examine(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<Flaw>> {
        examine::layer(&self.homes, layer)
    }

    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for home in self.homes.writable_ones() {
            found.extend(examine::strays(home)?);
        }
        Ok(found)
    }

    fn recall_parent(&self, _held: &Shared<'_>, id: &LayerId, home: driver::Home) -> Result<Option<LayerId>> {
        examine::parent(self.homes.of(home)?, id)
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: self.way.user_xattr }
    }

    fn own_directory(&self, id: &LayerId, home: driver::Home) -> Result<Option<PathBuf>> {
        Ok(self.homes.of(home).ok().map(|home| home.diff(id)))
    }

    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        Ok(self.homes.writable_ones().map(|home| home.tempdirs().root().to_path_buf()).collect())
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedLayer::begin(&self.homes, plan, self.way, self.options.refusals)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId, home: driver::Home) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.trash(id, home)?))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()> {
        heal(&self.homes, layer)
    }

    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        self.homes.writable_ones().try_fold(0, |removed, home| Ok(removed + examine::remove_strays(home)?))
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        self.attach(layer, options)
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::new(private_home::take_away(self.homes.own().root())?.into_iter().collect()))
    }

    fn unmount(&self, _held: &mut Mounting<'_>, id: &LayerId, home: driver::Home, extent: Extent) -> Result<Detached> {
        self.detach(id, home, extent)
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
