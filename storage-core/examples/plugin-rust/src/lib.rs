//! treecopy: a graph driver outside of Lamina's tree. Every layer is a directory of its own, copied from its parent.
//!
//! ```text
//! HOME/layers/ID/    the tree of a layer
//! HOME/tempdirs/     staging and trash
//! ```
//!
//! It is written like a driver inside the tree. The last line makes a plugin of it, with the feature `plugin`; the one before
//! registers it in programs that link it.

use std::fs::{DirBuilder, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use storage_core::archive::Whiteouts;
use storage_core::driver::{
    Capabilities, Capability, Comparison, Descriptor, Detached, Driver, Exclusive, Extent, Home, LayerRef,
    MountOptions, Mounting, Naive, Origin, OwnerMaps, PinnedDir, Plan, Request, Shared, Staged, StagingPlace, Start,
    Survey, Swept, Trash, View,
};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::{TempDirs, lasting_identity, open_directory};
use storage_core::idmap::{Maps, Shift, Threads, chown_tree};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, MountFlags, read_only_clone};
use storage_core::task::Task;

/// The driver's entry in the registry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "treecopy",
    version: env!("CARGO_PKG_VERSION"),
    priority: -20,
    automatic: false,
    origin: Origin::Linked,
    survey: &survey,
    open: &open,
};

/// The name of the tree in its staging place.
const TREE: &str = "tree";

fn capabilities() -> Capabilities {
    Capabilities::NONE.with(Capability::DType, true).with(Capability::DetachedViews, Features::of_kernel().detached())
}

fn survey(request: &Request) -> Survey {
    let refused = check(request).err().map(|error| error.to_string());
    let reason = refused.clone().unwrap_or_else(|| "an example that copies trees works everywhere".to_owned());
    Survey { usable: refused.is_none(), reason, capabilities: capabilities() }
}

fn open(request: &Request) -> Result<Box<dyn Driver>> {
    check(request)?;
    let driver = TreeCopy { home: request.home.clone() };
    let layers = driver.layers();
    DirBuilder::new().recursive(true).mode(0o700).create(&layers).os("mkdir", &layers)?;
    Ok(Box::new(driver))
}

/// One home and no options are all that this driver knows.
fn check(request: &Request) -> Result<()> {
    match request.options.first() {
        Some((key, _)) => Err(Error::new(Kind::Usage, "read storage option").detail(format!("unknown option {key:?}"))),
        None if request.image_home.is_some() || !request.additional_homes.is_empty() => {
            Err(Error::new(Kind::DriverUnusable, "open treecopy").detail("it works in one home only"))
        }
        None => Ok(()),
    }
}

/// The driver, open on its home.
#[derive(Clone, Debug)]
pub struct TreeCopy {
    home: PathBuf,
}

impl TreeCopy {
    fn layers(&self) -> PathBuf {
        self.home.join("layers")
    }

    fn layer(&self, id: &LayerId) -> PathBuf {
        self.layers().join(id.as_str())
    }

    /// Fails for every home but the one that there is.
    fn own(&self, home: Home) -> Result<&Self> {
        if home == Home::Own {
            return Ok(self);
        }
        Err(Error::new(Kind::NotSupported, "find home").at(&self.home).detail("treecopy works in one home only"))
    }

    fn tempdirs(&self) -> TempDirs {
        TempDirs::new(self.home.join("tempdirs"))
    }

    fn is_there(&self, id: &LayerId) -> Result<bool> {
        let path = self.layer(id);
        match std::fs::symlink_metadata(&path) {
            Ok(found) => Ok(found.is_dir()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).os("lstat", path),
        }
    }
}

impl Driver for TreeCopy {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn has_kernel_mounts(&self) -> bool {
        false
    }

    fn status(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        self.own(home)?.is_there(id)
    }

    fn list(&self, _held: &Shared<'_>, home: Home) -> Result<Vec<String>> {
        let layers = self.own(home)?.layers();
        let entries = std::fs::read_dir(&layers).os("read directory", &layers)?;
        entries
            .map(|entry| Ok(entry.os("read directory", &layers)?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn metadata(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn identity(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<String> {
        let path = self.own(home)?.layer(id);
        lasting_identity(open_directory(&path)?, &path)
    }

    fn view(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        let pin = PinnedDir::open(self.own(layer.home)?.layer(&layer.id))?;
        let root = read_only_clone(pin.path(), Some(pin.id()), Features::of_kernel())?;
        Ok(View::new(root, vec![Box::new(pin)]))
    }

    fn compare(
        &self,
        held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        let base = base.map(|base| self.view(held, base)).transpose()?;
        Ok(Box::new(Naive::new(self.view(held, layer)?, base, maps.clone())))
    }

    /// A copy doesn't know what of it is its own, so only an empty base layer surely has nothing.
    fn is_untouched(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<bool> {
        let path = self.own(layer.home)?.layer(&layer.id);
        let is_empty = std::fs::read_dir(&path).os("read directory", &path)?.next().is_none();
        Ok(layer.ancestors.is_empty() && is_empty)
    }

    fn write_mark(&self, _held: &Shared<'_>, _id: &LayerId, _home: Home) -> Result<Option<String>> {
        Ok(None)
    }

    fn mount_point(&self, id: &LayerId, _home: Home) -> Result<PathBuf> {
        Ok(self.layer(id))
    }

    fn name_directories(&self, home: Home) -> Result<Vec<PathBuf>> {
        Ok(self.own(home).map_or_else(|_| Vec::new(), |own| vec![own.layers()]))
    }

    fn is_mounted(&self, _held: &Shared<'_>, _id: &LayerId, home: Home) -> Result<bool> {
        self.own(home).map(|_| false)
    }

    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        Ok(vec![self.tempdirs().root().to_path_buf()])
    }

    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedCopy::begin(self, plan)?))
    }

    fn remove(&self, _held: &mut Exclusive<'_>, id: &LayerId, home: Home) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.own(home)?.tempdirs().trash(&self.layer(id))?))
    }

    fn heal(&self, _held: &mut Exclusive<'_>, _layer: &LayerRef) -> Result<()> {
        Ok(())
    }

    fn mount(&self, _held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        // Options that every mount has are tolerated; those of a filesystem can't be honoured.
        let flags = MountFlags::parse(options.options.iter().map(String::as_str));
        if !flags.data.is_empty() || options.namespace.is_some() {
            return Err(Error::new(Kind::NotSupported, "mount layer").detail("a directory has no such options"));
        }
        let path = self.own(layer.home)?.layer(&layer.id);
        if self.is_there(&layer.id)? { Ok(path) } else { Err(Error::new(Kind::NotFound, "mount layer").at(path)) }
    }

    fn unmount(&self, _held: &mut Mounting<'_>, _id: &LayerId, _home: Home, _extent: Extent) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        Ok(Detached::default())
    }

    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        let (reclaimed, left) = self.tempdirs().sweep(deadline, task)?;
        Ok(Swept { reclaimed, left })
    }
}

/// A copy in the making.
#[derive(Debug)]
struct StagedCopy {
    driver: TreeCopy,
    place: StagingPlace,
    shift: Shift,
}

impl StagedCopy {
    fn begin(driver: &TreeCopy, plan: &Plan) -> Result<Self> {
        if let Some((key, _)) = plan.options.first() {
            return Err(Error::new(Kind::NotSupported, "create layer").detail(format!("--storage-opt {key}")));
        }
        let origin = match &plan.start {
            Start::OnParent(None) => None,
            Start::OnParent(Some(layer)) | Start::Replacing { layer, .. } => {
                Some(PinnedDir::open(driver.layer(&layer.id))?)
            }
        };
        let is_base = origin.is_none();
        let place = StagingPlace::new(driver.tempdirs(), origin)?;
        let tree = place.path(TREE);
        DirBuilder::new().mode(0o700).create(&tree).os("mkdir", &tree)?;
        if is_base {
            std::fs::set_permissions(&tree, Permissions::from_mode(0o555)).os("chmod", &tree)?;
            let root = plan.maps.root()?;
            chown(&tree, Some(root.uid), Some(root.gid)).os("chown", &tree)?;
        }
        Ok(StagedCopy { driver: driver.clone(), place, shift: plan.shift() })
    }

    fn tree(&self) -> PathBuf {
        self.place.path(TREE)
    }

    fn side(path: &Path) -> Result<Side<'_>> {
        Ok(Side { root: open_directory(path)?, path })
    }
}

impl Staged for StagedCopy {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let Some(origin) = self.place.origin() else { return Ok(()) };
        let tree = self.tree();
        copy_tree(Side { root: origin.readable()?, path: origin.path() }, Self::side(&tree)?, task)?;
        if self.shift.is_nothing() {
            return Ok(());
        }
        chown_tree(open_directory(&tree)?, &tree, &self.shift, Threads::available(), task)
    }

    fn root(&self) -> Result<OwnedFd> {
        open_directory(&self.tree())
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Apply
    }

    fn maps(&self) -> &Maps {
        self.shift.to()
    }

    fn identity(&self) -> Result<String> {
        lasting_identity(self.root()?, &self.tree())
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.place.commit(TREE, &self.driver.layer(id))
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        self.place.check_origin()?;
        let target = self.driver.layer(id);
        Ok(Box::new(self.place.replace(TREE, &target)?))
    }
}

inventory::submit! { DESCRIPTOR }

#[cfg(feature = "plugin")]
storage_core::export_driver!(DESCRIPTOR);
