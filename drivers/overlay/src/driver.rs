//! The trait, put together from what stands beside this file.

use std::path::PathBuf;
use std::time::Instant;

use storage_core::archive::Whiteouts;
use storage_core::driver::{
    Capabilities, Comparison, Detached, Driver, Exclusive, Extent, Flaw, LayerRef, MountOptions, Mounting, Plan,
    Request, Shared, Staged, Swept, Trash, View,
};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{lasting_identity, open_directory};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, filesystem_type, in_user_namespace, is_mount_root};
use storage_core::task::Task;

use crate::compare::Compared;
use crate::examine;
use crate::heal::{heal, remove_link};
use crate::home::Home;
use crate::options::Options;
use crate::part::Part;
use crate::private_home;
use crate::staged::StagedLayer;
use crate::survey::{Support, examine, remember};
use crate::view::{self, Way};

/// The driver, open on its home.
#[derive(Debug)]
pub struct Overlay {
    pub(crate) home: Home,
    pub(crate) options: Options,
    pub(crate) way: Way,
    pub(crate) kernel: Support,
}

impl Overlay {
    /// Opens the driver, making its home when it is missing.
    pub fn open(request: &Request) -> Result<Self> {
        Self::open_with(request, Features::of_kernel())
    }

    /// Opens the driver with the mount calls that `features` allows, for tests of what is done without them.
    pub fn open_with(request: &Request, features: Features) -> Result<Self> {
        let kernel = examine(request, features)?;
        let home = Home::new(&request.home);
        home.make()?;
        remember(&request.run_home, kernel);
        let way = Way { features, user_xattr: in_user_namespace() };
        Ok(Overlay { home, options: Options::parse(&request.options)?, way, kernel })
    }

    fn identity_of(&self, id: &LayerId) -> Result<String> {
        let diff = self.home.diff(id);
        lasting_identity(open_directory(&diff)?, &diff)
    }

    fn has_no_changes(&self, layer: &LayerRef) -> Result<bool> {
        let part = Part::open(&self.home, &layer.id)?;
        let diff = self.home.diff(&layer.id);
        let mut entries = std::fs::read_dir(&diff).os("read directory", &diff)?;
        Ok(part.is_single() && entries.next().is_none())
    }

    fn trash(&self, id: &LayerId) -> Result<Option<Trashed>> {
        let merged = self.home.merged(id);
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "remove layer").at(merged).detail("the layer is mounted"));
        }
        remove_link(&self.home, id)?;
        self.home.tempdirs().trash(&self.home.layer(id))
    }

    fn places(&self, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        let path = self.home.layer(&layer.id);
        let pair = |key: &str, path: PathBuf| (key.to_owned(), path.display().to_string());
        let mut pairs = vec![
            pair("WorkDir", path.join("work")),
            pair("MergedDir", path.join("merged")),
            pair("UpperDir", path.join("diff")),
        ];
        let lowers = crate::chain::lowers(&self.home, layer)?;
        if !lowers.is_empty() {
            let names: Vec<_> = lowers.iter().map(|step| self.home.diff(&step.id).display().to_string()).collect();
            pairs.push(("LowerDir".to_owned(), names.join(":")));
        }
        Ok(pairs)
    }
}

impl Driver for Overlay {
    fn capabilities(&self) -> Capabilities {
        self.kernel.capabilities(self.way.features, self.home.root())
    }

    fn has_kernel_mounts(&self) -> bool {
        true
    }

    fn status(&self) -> Vec<(String, String)> {
        let backing = filesystem_type(self.home.root()).map_or("<unknown>", |found| found.name());
        let metacopy = self.kernel.metacopy && self.options.mount_flags().value("metacopy") == Some("on");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let word = |yes: bool| if yes { "true" } else { "false" };
        vec![
            pair("Backing Filesystem", backing),
            pair("Supports d_type", "true"),
            pair("Native Overlay Diff", "true"),
            pair("Using metacopy", word(metacopy)),
            pair("Supports shifting", "false"),
            pair("Supports volatile", word(self.kernel.volatile)),
        ]
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId) -> Result<bool> {
        Ok(self.home.layer(id).is_dir())
    }

    fn list(&self, _held: &Shared<'_>) -> Result<Vec<String>> {
        self.home.list()
    }

    fn metadata(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        self.places(layer)
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId) -> Result<String> {
        self.identity_of(id)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::view(&self.home, layer, self.way)
    }

    fn own_files(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        view::own_files(&self.home, layer, self.way)
    }

    fn compare(&self, _held: &Shared<'_>, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Box<dyn Comparison>> {
        Ok(Box::new(Compared::new(&self.home, layer, base, self.way)?))
    }

    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        self.has_no_changes(layer)
    }

    fn write_mark(&self, _held: &Shared<'_>, id: &LayerId) -> Result<Option<String>> {
        // The kernel makes its directory below `work` anew at each mount that can write.
        let path = self.home.layer(id).join("work/work");
        match nix::sys::stat::lstat(&path) {
            Ok(stat) => Ok(Some(format!("{}:{}.{}", stat.st_ino, stat.st_ctime, stat.st_ctime_nsec))),
            Err(nix::errno::Errno::ENOENT) => Ok(Some(String::new())),
            Err(errno) => Err(errno).os("lstat", path),
        }
    }

    fn mount_point(&self, id: &LayerId) -> PathBuf {
        self.home.merged(id)
    }

    fn name_directories(&self) -> Vec<PathBuf> {
        vec![self.home.root().to_path_buf(), self.home.links()]
    }

    fn is_mounted(&self, _held: &Shared<'_>, id: &LayerId) -> Result<bool> {
        is_mount_root(&self.home.merged(id))
    }

    fn examine(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<Flaw>> {
        Ok(examine::layer(&self.home, layer))
    }

    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        examine::strays(&self.home)
    }

    fn recall_parent(&self, _held: &Shared<'_>, id: &LayerId) -> Result<Option<LayerId>> {
        examine::parent(&self.home, id)
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: self.way.user_xattr }
    }

    fn own_directory(&self, id: &LayerId) -> Option<PathBuf> {
        Some(self.home.diff(id))
    }

    fn staging_homes(&self) -> Vec<PathBuf> {
        vec![self.home.tempdirs().root().to_path_buf()]
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedLayer::begin(&self.home, plan, self.way.user_xattr)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.trash(id)?))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()> {
        heal(&self.home, layer)
    }

    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        examine::remove_strays(&self.home)
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        self.attach(layer, options)
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::new(private_home::take_away(self.home.root())?.into_iter().collect()))
    }

    fn unmount(&self, _held: &mut Mounting<'_>, id: &LayerId, extent: Extent) -> Result<Detached> {
        self.detach(id, extent)
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        let (reclaimed, left) = self.home.tempdirs().sweep(deadline, task)?;
        Ok(Swept { reclaimed, left })
    }
}
