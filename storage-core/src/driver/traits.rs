//! The trait that a graph driver implements.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use super::{Capabilities, Detached, Flaw, Home, LayerRef, MountOptions, OwnerMaps, Plan, Staged, Trash, View};
use crate::archive::{Change, Whiteouts};
use crate::error::Result;
use crate::ids::LayerId;
use crate::locks::{Exclusive, Mounting, Shared};
use crate::task::Task;

/// Which mounts of a layer are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The topmost one.
    One,
    /// Every one at the layer's mount point, also those that nobody counts.
    All,
    /// As [`Extent::All`], but one that is in use stays, and is told as [`crate::Kind::Busy`].
    Unused,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Stale places reclaimed.
    pub reclaimed: u64,
    /// Places left for the next sweep: in use, or past the bound.
    pub left: u64,
}

/// A graph driver: it keeps the trees of layers and shows them.
///
/// Every method takes `&self`; a driver holds no store lock of its own and never waits for one. Results are owned.
/// Callers reach a driver only through the [gate](crate::driver) of its store, which checks that a token is of that store.
pub trait Driver: fmt::Debug + Send + Sync {
    /// What the driver can do on this kernel and filesystem. It may be tried out, so it is not asked under a lock.
    fn capabilities(&self) -> Capabilities;

    /// Whether a mount of a layer is a mount of the kernel's ([`super::Capability::KernelMounts`]). Costs nothing.
    fn has_kernel_mounts(&self) -> bool;

    /// Whether a layer in the making may learn its parent late ([`Staged::settle`]), so that the layers of an image can be
    /// filled at the same time. Costs nothing.
    fn parents_may_come_late(&self) -> bool {
        false
    }

    /// Pairs for `status`, in the reference's words where it has them (`Backing Filesystem`).
    fn status(&self) -> Vec<(String, String)>;

    // ---- shared: these change nothing that others see (R1) ----

    /// Whether `id` has a place in that home.
    fn exists(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool>;

    /// The names of all places of layers in a home, also of those that no record knows: what has none is thrown away as an
    /// orphan. Where others may have places, too (datasets of zfs), only those that are surely the home's own. Names are as
    /// found: untrusted.
    fn list(&self, held: &Shared<'_>, home: Home) -> Result<Vec<String>>;

    /// Pairs that tell where the layer's parts are (`UpperDir`).
    fn metadata(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>>;

    /// What tells the layer's content from every other, across renames and crashes (device and inode, a subvolume's uuid).
    fn identity(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<String>;

    /// A read-only sight of the layer's whole tree. It attaches nothing to any path.
    ///
    /// * Fails with [`crate::Kind::NotFound`] when a layer of the chain has no place.
    fn view(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<View>;

    /// The directory in which the files of the layer's own diff stand under their own names, for the exact replay of an
    /// archive. For a driver that stacks it is cheaper than a view.
    fn own_files(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<View> {
        self.view(held, layer)
    }

    /// What is needed to tell how `layer` differs from `base` (from nothing, when there is no base), without a lock. Owners
    /// are compared and told as they are inside, by `maps`.
    fn compare(
        &self,
        held: &Shared<'_>,
        layer: &LayerRef,
        base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>>;

    /// Whether the layer holds nothing of its own: nothing was applied to it and nothing written. Constant cost.
    fn is_untouched(&self, held: &Shared<'_>, layer: &LayerRef) -> Result<bool>;

    /// Something that changes whenever the layer is mounted for writing, by whomever; `None` where nothing does. Constant
    /// cost.
    fn write_mark(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<String>>;

    /// Where [`Driver::mount`] shows the layer.
    fn mount_point(&self, id: &LayerId, home: Home) -> Result<PathBuf>;

    /// The directories of a home whose entries name layers. After a commit the store flushes them, where its durability
    /// asks for that.
    fn name_directories(&self, home: Home) -> Result<Vec<PathBuf>>;

    /// Whether the kernel has a mount at [`Driver::mount_point`], in this mount namespace. `false` for a driver without
    /// [`super::Capability::KernelMounts`].
    ///
    /// * Fails with [`crate::Kind::Busy`] when what is mounted there is none of the driver's, if it can tell.
    fn is_mounted(&self, held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool>;

    /// What is wrong with the parts of the layer that only the driver knows (short links, lower lists, mount-point
    /// directories). A few calls a layer; no file's content is read. The layer has a place.
    fn examine(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<Flaw>> {
        Ok(Vec::new())
    }

    /// Small things in the home that belong to layers without a place, such as stale short links.
    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    /// What the layer's own files say of its parent; `None` where they say nothing. For making lost records again.
    fn recall_parent(&self, _held: &Shared<'_>, _id: &LayerId, _home: Home) -> Result<Option<LayerId>> {
        Ok(None)
    }

    /// How whiteouts stand in [`Driver::own_files`]: as the overlay filesystem keeps them, where a layer's own files stand
    /// alone; applied, where they stand in its whole tree.
    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Apply
    }

    /// The directory of the layer's own files on the filesystem itself, where there is one, for what a read-only view can't
    /// do: sharing blocks.
    fn own_directory(&self, _id: &LayerId, _home: Home) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// The directories of staging and trash ([`crate::fs::TempDirs`]).
    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    // ---- staging: begun under a shared hold, then private ----

    /// Begins a layer in a private place, and pins the identity of what it starts from. Constant cost.
    fn begin(&self, held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>>;

    // ---- exclusive ----

    /// Takes the layer's place away, by a rename into trash. Constant cost; [`Trash::reclaim`] deletes.
    ///
    /// * A layer without a place is no error: there is nothing to reclaim then.
    /// * Fails with [`crate::Kind::ReadOnlyStore`] in an additional store.
    /// * Needs no new space on a full disk.
    fn remove(&self, held: &mut Exclusive<'_>, id: &LayerId, home: Home) -> Result<Box<dyn Trash>>;

    /// Restores what can be derived and was lost (short links, mount-point directories). Constant cost a layer. What stands
    /// in an additional store is left as it is.
    fn heal(&self, held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()>;

    /// Removes what [`Driver::strays`] finds. Returns how many there were.
    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        Ok(0)
    }

    // ---- mounting ----

    /// Attaches the layer at its mount point. The caller keeps the count and asks only when nothing is mounted there.
    ///
    /// * A layer that doesn't stand in the store's own home is mounted read-only, whatever the options say, where the driver
    ///   has mounts; its mount point lies in the run root.
    /// * An option that the driver can't honour is refused with [`crate::Kind::NotSupported`].
    fn mount(&self, held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf>;

    /// Detaches mounts of the layer from its mount point, in this mount namespace. Nothing mounted is no error.
    ///
    /// * The result is dropped after the locks are released.
    fn unmount(&self, held: &mut Mounting<'_>, id: &LayerId, home: Home, extent: Extent) -> Result<Detached>;

    /// Takes away what the driver keeps mounted beside layers. No layer is mounted. Asked at shutdown.
    fn retire(&self, held: &mut Mounting<'_>) -> Result<Detached>;

    // ---- house-keeping: no proof, because what is touched is locked by itself ----

    /// Reclaims staging and trash that processes left when they died, until `deadline`. Never touches what is in use.
    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept>;
}

/// How one tree differs from another: everything that is needed to tell, taken under a lock, told without one.
pub trait Comparison: fmt::Debug + Send {
    /// Calls `each` for every change, in the order of paths. A directory that contains a change is a change.
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()>;

    /// Writes the changes as a tar archive. `before_end` is asked before the end of the archive is written: when it
    /// fails, the archive has no valid end.
    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()>;

    /// The bytes of all files that were added or modified, each inode counted once.
    fn size(&self, task: &Task) -> Result<u64>;

    /// Fails with [`crate::Kind::Changed`] when a layer of either tree was removed or replaced meanwhile.
    fn check(&self) -> Result<()>;
}
