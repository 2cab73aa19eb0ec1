//! Attaching a layer at its mount point, and detaching it; and mounts that no path names.
//!
//! A dataset has one superblock for all its mounts. A mount that nobody may write through is read-only by its own
//! attribute, never by the filesystem's `ro`, which would make others' mounts for writing fail.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags};
use storage_core::driver::{Detached, Extent, LayerRef, MountOptions};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, MountFlags, filesystem_type, in_private_namespace, is_mount_root};

use crate::Zfs;
use crate::heal::heal;
use crate::home::Home;
use crate::options::mount_flags;

/// How many stacked mounts are taken away at most: more are somebody's loop.
const MOST_MOUNTS: usize = 1000;
/// How long the end of somebody's last mount of a dataset is waited for.
const MOST_WAIT: Duration = Duration::from_secs(10);
const MOUNT: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A mount that no path names, whose root is given as a readable directory.
pub(crate) fn detached(dataset: &str, flags: &MountFlags, features: Features) -> Result<OwnedFd> {
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let reopen = |root: OwnedFd| rustix::fs::openat(root, ".", read, Mode::empty()).os("openat(.)", dataset);
    if features.detached() {
        return reopen(patiently(|| without_path(dataset, flags))?);
    }
    // Nothing here needs what it hides in the thread's own namespace.
    let place = Path::new("/proc");
    in_private_namespace(|| {
        classic(dataset, place, flags)?;
        reopen(rustix::fs::open(place, MOUNT, Mode::empty()).os("open(O_PATH)", place)?)
    })
}

/// Attaches a dataset at `target`.
pub(crate) fn attach(dataset: &str, target: &Path, flags: &MountFlags, features: Features) -> Result<()> {
    if !features.detached() {
        return classic(dataset, target, flags);
    }
    let mount = patiently(|| without_path(dataset, flags))?;
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", rustix::fs::CWD, target, empty).os("move_mount", target)
}

/// Mounts again while that says busy. The kernel owns a dataset until what its last mount left is written, when that mount
/// is no longer to be seen: a diff or an unmount that ends at this moment, in whatever process, is in nobody's way.
fn patiently<R>(mount: impl Fn() -> Result<R>) -> Result<R> {
    let deadline = Instant::now() + MOST_WAIT;
    let mut pause = Duration::from_millis(1);
    loop {
        match mount() {
            Err(error) if error.kind() == Kind::Busy && Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            done => return done,
        }
    }
}

fn without_path(dataset: &str, flags: &MountFlags) -> Result<OwnedFd> {
    let failed = |call: &'static str| move |errno: rustix::io::Errno| Error::os(call, dataset, errno);
    let fs = rustix::mount::fsopen("zfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen(zfs)"))?;
    rustix::mount::fsconfig_set_string(fs.as_fd(), "source", dataset).map_err(failed("fsconfig(source)"))?;
    for (key, value) in &flags.data {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(fs.as_fd(), key.as_str(), value.as_str()),
            None => rustix::mount::fsconfig_set_flag(fs.as_fd(), key.as_str()),
        }
        .map_err(failed("fsconfig(option)"))?;
    }
    if flags.flags.contains(MsFlags::MS_SYNCHRONOUS) {
        rustix::mount::fsconfig_set_flag(fs.as_fd(), "sync").map_err(failed("fsconfig(sync)"))?;
    }
    rustix::mount::fsconfig_create(fs.as_fd()).map_err(failed("fsconfig(create zfs)"))?;
    rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags.attributes()).map_err(failed("fsmount"))
}

/// The calls that all kernels have: nobody could write through the mount before it is made read-only but who finds it at once.
fn classic(dataset: &str, target: &Path, flags: &MountFlags) -> Result<()> {
    let read_only = flags.flags.contains(MsFlags::MS_RDONLY);
    let first = flags.flags - MsFlags::MS_RDONLY;
    let data = flags.data_string();
    patiently(|| {
        mount(Some(OsStr::new(dataset)), target, Some("zfs"), first, Some(data.as_str())).os("mount(zfs)", dataset)
    })?;
    if !read_only {
        return Ok(());
    }
    let nothing: Option<&str> = None;
    mount(nothing, target, nothing, flags.flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT, nothing)
        .os("mount(remount,bind,ro)", target)
        .inspect_err(|_| {
            let _ = umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        })
}

impl Zfs {
    /// Attaches the layer at its mount point.
    pub(crate) fn attach(&self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        let home = self.home(layer.home)?;
        let target = home.mount_point(&layer.id);
        if options.namespace.as_ref().is_some_and(|namespace| !namespace.maps().is_identity()) {
            return Err(Error::new(Kind::NotSupported, "mount layer")
                .at(target)
                .detail("zfs shows files with the owners that they have")
                .remedy("make the layer with the owners that it shall have"));
        }
        if is_mount_root(&target)? {
            return Err(Error::new(Kind::Busy, "mount layer").at(target).detail("something is mounted there already"));
        }
        let mut flags = mount_flags(&self.options, &options.options, &options.label)?;
        if options.read_only {
            flags.flags |= MsFlags::MS_RDONLY;
        }
        let dataset = home.datasets.path(layer.id.as_str())?;
        DirBuilder::new().recursive(true).mode(0o755).create(&target).os("mkdir", &target)?;
        let attach = || attach(&dataset, &target, &flags, self.features);
        // No process is started, under the lock, for a layer that is in order.
        let attached = match attach() {
            Err(error) if error.kind() == Kind::NotFound => heal(home, &layer.id).and_then(|()| attach()),
            attached => attached,
        };
        attached.inspect_err(|_| {
            let _ = std::fs::remove_dir(&target);
        })?;
        Ok(target)
    }
}

/// Detaches mounts of the layer. Only ever touches the layer's own mount point, and only what a driver like this one mounts
/// there.
pub(crate) fn detach(home: &Home, id: &LayerId, extent: Extent) -> Result<Detached> {
    let target = home.mount_point(id);
    let most = if extent == Extent::One { 1 } else { MOST_MOUNTS };
    let mut mounts = Vec::new();
    for _ in 0..most {
        if !is_mount_root(&target)? {
            break;
        }
        check_kind(&target, "unmount layer")?;
        match extent {
            Extent::Unused => umount2(&target, MntFlags::UMOUNT_NOFOLLOW).os("umount2", &target)?,
            Extent::One | Extent::All => mounts.push(detach_one(&target)?),
        }
    }
    if !is_mount_root(&target)? {
        // It is made for each mount, as the reference makes it.
        let _ = std::fs::remove_dir(&target);
    }
    Ok(Detached::new(mounts))
}

/// Whether a layer is mounted there. Fails with [`Kind::Busy`] when it is something else that is.
pub(crate) fn is_attached(target: &Path) -> Result<bool> {
    let mounted = is_mount_root(target)?;
    if mounted {
        check_kind(target, "look for mount")?;
    }
    Ok(mounted)
}

/// Fails with [`Kind::Busy`] when what is mounted at `target` is nothing that a driver like this one mounts.
fn check_kind(target: &Path, operation: &'static str) -> Result<()> {
    let kind = filesystem_type(target)?;
    if kind.name() != "zfs" {
        return Err(Error::new(Kind::Busy, operation)
            .at(target)
            .detail(format!("what is mounted there is no zfs but {}", kind.name()))
            .remedy("unmount it by hand"));
    }
    Ok(())
}

fn detach_one(target: &Path) -> Result<OwnedFd> {
    let mount = rustix::fs::open(target, MOUNT, Mode::empty()).os("open(O_PATH)", target)?;
    umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", target)?;
    Ok(mount)
}
