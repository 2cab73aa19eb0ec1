//! A throw-away place on a filesystem that suits a driver.
//!
//! ```text
//! PARENT/lamina-grounds-UID/     kept: the places of all runs of this user
//!   lock-X                       held as long as the run lives
//!   temp-dir-X/                  all that one run makes, removed at its end
//!     disk                       the filesystem, in a file (in memory, but for a pool of zfs)
//!     root/                      where it is mounted, or an ordinary directory
//! ```
//!
//! What a killed run left is removed by the next run: its lock tells that nobody uses it. Mounts are made in the mount
//! namespace of the calling thread, which should be a private one; then they end with it. A pool of zfs is seen by the whole
//! machine, so the next run destroys that too.

mod disk;
mod pool;

use std::fmt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::Uid;
use storage_core::driver::Roots;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::{TempDir, TempDirs};
use storage_core::mount::{filesystem_type, in_user_namespace, mounts_here};
use storage_core::task::Task;

pub use disk::{image, loop_mount, program};
pub use pool::{Pool, dataset};

/// How much an image holds: sparse, so that it costs what is written.
const SIZE: u64 = 4 << 30;
/// For how long what other runs left is removed before a run begins.
const SWEEP: Duration = Duration::from_secs(20);

/// What a place is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// Whatever the parent directory is on.
    Plain,
    /// An ext4 in a file.
    Ext4,
    /// An xfs in a file.
    Xfs,
    /// A btrfs in a file.
    Btrfs,
    /// A pool of zfs in a file.
    Zfs,
}

impl Filesystem {
    /// All of them.
    pub const ALL: &'static [Filesystem] =
        &[Filesystem::Plain, Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs, Filesystem::Zfs];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Filesystem::Plain => "directory",
            Filesystem::Ext4 => "ext4",
            Filesystem::Xfs => "xfs",
            Filesystem::Btrfs => "btrfs",
            Filesystem::Zfs => "zfs",
        }
    }

    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Filesystem::ALL.iter().copied().find(|each| each.name() == name)
    }

    /// The one that the driver `name` needs; a driver that nothing is known of gets a directory.
    pub fn for_driver(name: &str) -> Self {
        match name {
            "btrfs" => Filesystem::Btrfs,
            "zfs" => Filesystem::Zfs,
            _ => Filesystem::Plain,
        }
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place that only this run uses. Dropping it removes it.
#[derive(Debug)]
pub struct Grounds {
    root: PathBuf,
    filesystem: Filesystem,
    pool: Option<Pool>,
    /// Last, so that it is deleted when nothing is mounted in it any more.
    place: Place,
}

impl Grounds {
    /// Makes one below `parent`; else below `$TMPDIR`, `/var/tmp` or `/tmp`, the first that may be written. First removes what
    /// killed runs left there.
    ///
    /// In a user namespace no filesystem but a directory can be had; one on btrfs serves where that is asked for.
    ///
    /// * Fails with [`Kind::NotSupported`] where something that the filesystem needs is missing on this machine, or can't be
    ///   had in a user namespace.
    pub fn make(parent: Option<&Path>, filesystem: Filesystem) -> Result<Self> {
        let place = Place::make(parent)?;
        let filesystem = if in_user_namespace() { place.as_user(filesystem)? } else { filesystem };
        let root = place.path().join("root");
        std::fs::create_dir(&root).os("mkdir", &root)?;
        let mut grounds = Grounds { root, filesystem, pool: None, place };
        match filesystem {
            Filesystem::Plain => {}
            Filesystem::Zfs => {
                let pool = Pool::make(&grounds.place.path())?;
                dataset(&format!("{}/root", pool.name()), &grounds.root)?;
                grounds.pool = Some(pool);
            }
            Filesystem::Ext4 | Filesystem::Xfs | Filesystem::Btrfs => grounds.mount_image()?,
        }
        Ok(grounds)
    }

    /// Makes the filesystem in memory, so that many flushes don't wait for a disk.
    fn mount_image(&self) -> Result<()> {
        disk::check_loops()?;
        let memory = self.place.path().join("memory");
        std::fs::create_dir(&memory).os("mkdir", &memory)?;
        mount(Some("tmpfs"), &memory, Some("tmpfs"), MsFlags::empty(), None::<&str>).os("mount(tmpfs)", &memory)?;
        let disk = memory.join("disk");
        image(&disk, SIZE, self.filesystem.name())?;
        loop_mount(&disk, &self.root)
    }

    /// The root of the place, for anything.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What the place is on.
    pub fn filesystem(&self) -> Filesystem {
        self.filesystem
    }

    /// Makes the directory `name` in it: a dataset of its own on zfs.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        match &self.pool {
            None => std::fs::create_dir(&path).os("mkdir", &path)?,
            Some(pool) => dataset(&format!("{}/root/{name}", pool.name()), &path)?,
        }
        Ok(path)
    }

    /// The roots of a store of its own, in the directory `name`, which is made.
    pub fn roots(&self, name: &str) -> Result<Roots> {
        let directory = self.directory(name)?;
        let (graph, run) = (directory.join("graph"), directory.join("run"));
        for root in [&graph, &run] {
            std::fs::create_dir(root).os("mkdir", root)?;
        }
        Ok(Roots::new(graph, run))
    }

    /// Takes everything away, and tells what could not be.
    pub fn remove(mut self) -> Result<()> {
        self.take_away()?;
        self.place.held.take().map_or(Ok(()), TempDir::close)
    }

    fn take_away(&mut self) -> Result<()> {
        unmount_below(&self.place.path())?;
        self.pool.take().map_or(Ok(()), Pool::destroy)
    }
}

impl Drop for Grounds {
    fn drop(&mut self) {
        // What can't be taken away now is left to the next run.
        let _ = self.take_away();
    }
}

/// The directory of one run.
#[derive(Debug)]
struct Place {
    held: Option<TempDir>,
    path: PathBuf,
}

impl Place {
    fn make(parent: Option<&Path>) -> Result<Self> {
        if let Some(parent) = parent {
            return Place::make_in(parent);
        }
        let given = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let mut failure = Error::new(Kind::NotFound, "make a throw-away place");
        for parent in given.into_iter().chain(["/var/tmp".into(), "/tmp".into()]) {
            match Place::make_in(&parent) {
                Ok(place) => return Ok(place),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn make_in(parent: &Path) -> Result<Self> {
        let parent = parent.canonicalize().os("realpath", parent)?;
        let all = parent.join(format!("lamina-grounds-{}", Uid::effective()));
        match std::fs::DirBuilder::new().mode(0o700).create(&all) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error).os("mkdir", &all),
            _ => check_ours(&all)?,
        }
        let places = TempDirs::new(all);
        for stale in places.stale()? {
            pool::destroy_left(&stale)?;
        }
        places.sweep(Instant::now() + SWEEP, &Task::new("remove what killed runs left"))?;
        let held = places.create()?;
        Ok(Place { path: held.path(), held: Some(held) })
    }

    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// What can be had there in a user namespace, which may neither mount a file nor make a pool.
    fn as_user(&self, wanted: Filesystem) -> Result<Filesystem> {
        let parent = self.path.parent().unwrap_or(&self.path);
        match wanted {
            Filesystem::Plain => Ok(Filesystem::Plain),
            Filesystem::Btrfs if filesystem_type(parent)?.name() == wanted.name() => Ok(Filesystem::Plain),
            Filesystem::Zfs => {
                Err(disk::missing("a user namespace makes no pool of zfs").remedy("be root of the machine"))
            }
            other => Err(disk::missing(format!("a user namespace mounts no {other}"))
                .at(parent)
                .remedy(format!("name a directory of yours that is on {other}, or be root of the machine"))),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.held.take());
        // Other runs may have places there.
        let _ = self.path.parent().map(std::fs::remove_dir);
    }
}

/// Everybody may make directories where ours is kept: what isn't ours isn't used, and nothing in it is deleted.
fn check_ours(all: &Path) -> Result<()> {
    let found = std::fs::symlink_metadata(all).os("lstat", all)?;
    if found.is_dir() && found.uid() == Uid::effective().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Permission, "make a throw-away place")
        .at(all)
        .detail("it is not a directory of this user's that only this user writes to")
        .remedy("name another parent directory"))
}

/// Detaches everything that this mount namespace has mounted below `directory`.
pub fn unmount_below(directory: &Path) -> Result<()> {
    let points = mounts_here()?.into_iter().map(|mount| mount.mount_point);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(directory) && point != directory).collect();
    below.reverse();
    for point in below {
        match umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // It went with another one.
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(errno) => return Err(errno).os("umount2(MNT_DETACH)", &point),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
