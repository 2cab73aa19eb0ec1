//! The one directory that a case may touch: a filesystem of its own in a file, mounted where only the case can see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::case::Skip;
use crate::machine;

/// The room of a case: sparse, so that it costs what is written.
const SIZE: u64 = 6 << 30;

/// Leaves the mount namespace of the caller's parent, so that every later mount ends with this process and its children.
/// To be called before the first thread is started.
pub fn private_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("enter a new mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("make every mount private");
}

/// A directory of this run's own below the build directory, held by a lock so that a later run can tell it from what a
/// kill left behind, and removes that.
#[derive(Debug)]
pub struct RunDir {
    /// Where it is.
    pub path: PathBuf,
    _held: fs::File,
}

impl RunDir {
    /// Makes one, and removes those whose runs were killed.
    pub fn make() -> Self {
        let base = std::env::var_os("LAMINA_TEST_SCRATCH");
        let base = base.map_or_else(|| machine::target().join("integration-scratch"), PathBuf::from);
        fs::create_dir_all(&base).expect("make the directory of scratch directories");
        remove_stale(&base);
        let path = base.join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&path).expect("make the directory of this run");
        let held = fs::File::create(path.join("held")).expect("make the lock of this run");
        held.try_lock().expect("lock the directory of this run");
        RunDir { path, _held: held }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // The overlay driver binds its home on itself, which stays as long as the mount namespace.
        for point in crate::invariants::mounts_below(&self.path).iter().rev() {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("left {}: {error}", self.path.display());
        }
    }
}

fn remove_stale(base: &Path) {
    for entry in fs::read_dir(base).expect("list scratch directories").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix("run-") else { continue };
        let unused = match fs::File::open(entry.path().join("held")) {
            Ok(held) => held.try_lock().is_ok(),
            // Half removed, or made a moment ago.
            Err(_) => !Path::new("/proc").join(process).exists(),
        };
        if unused {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A directory on a filesystem that ends with the case.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes the filesystem `kind` (`$LAMINA_TEST_FS` or xfs, when none is asked for) in `home/disk.img` and mounts it at
    /// `home/mnt`. The caller is in a private mount namespace.
    pub fn mount(home: &Path, kind: Option<&str>) -> Result<Self, Skip> {
        let usual = std::env::var("LAMINA_TEST_FS").unwrap_or_else(|_| "xfs".to_owned());
        let kind = kind.map_or(usual, str::to_owned);
        let dir = home.join("mnt");
        image(&home.join("disk.img"), SIZE, &kind)?;
        loop_mount(&home.join("disk.img"), &dir)?;
        Ok(Scratch { dir })
    }

    /// Makes a dataset of this case's own in the pool that `LAMINA_ZFS_POOL` names, and mounts it at `home/mnt`.
    pub fn on_zfs(home: &Path) -> Result<Self, Skip> {
        let Some(pool) = machine::zfs_pool() else {
            return Err(Skip("no pool of zfs is here for tests: tests/zfs-vm/run has one".to_owned()));
        };
        let name = home.file_name().expect("the directory of a case has a name").to_string_lossy();
        let dir = home.join("mnt");
        dataset(&format!("{}/{name}", pool.display()), &dir);
        Ok(Scratch { dir })
    }

    /// Takes the filesystem away from its place, for a process that goes on.
    pub fn unmount(self) {
        umount2(&self.dir, MntFlags::MNT_DETACH).expect("unmount the scratch filesystem");
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A path below it; nothing is made.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        assert!(name.as_ref().is_relative(), "{} would leave the scratch directory", name.as_ref().display());
        self.dir.join(name)
    }

    /// A directory below it, made if needed.
    pub fn make(&self, name: impl AsRef<Path>) -> PathBuf {
        let dir = self.join(name);
        fs::create_dir_all(&dir).expect("make a scratch directory");
        dir
    }

    /// The same directory at a place that every user can reach. (It is bound there for this case alone.)
    pub fn for_everybody(&self) -> Result<PathBuf, Skip> {
        let place = PathBuf::from("/media");
        if !place.is_dir() {
            return Err(Skip("/media is missing: there is no place that every user can reach".to_owned()));
        }
        let bound = mount(Some(&self.dir), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.expect("bind the scratch directory to a place that every user can reach");
        Ok(place)
    }

    /// A second filesystem of `size` bytes, mounted at `name`.
    pub fn small_disk(&self, name: &str, size: u64, kind: &str) -> Result<PathBuf, Skip> {
        let file = self.join(format!("{name}.img"));
        image(&file, size, kind)?;
        let dir = self.join(name);
        loop_mount(&file, &dir)?;
        Ok(dir)
    }
}

impl Scratch {
    /// Mounts a filesystem made by [`Scratch::small_disk`] again, after it was unmounted.
    pub fn mount_disk(&self, name: &str) -> Result<(), Skip> {
        loop_mount(&self.join(format!("{name}.img")), &self.join(name))
    }
}

/// Makes a dataset of that name and mounts it at `dir`.
fn dataset(name: &str, dir: &Path) {
    fs::create_dir_all(dir).expect("make a mount point");
    let run = |program: &str, args: &[&str]| {
        let done = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run("zfs", &["create", "-o", "mountpoint=legacy", name]);
    run("mount", &["-t", "zfs", name, dir.to_str().expect("a printable path")]);
}

/// The dataset that a directory is on.
pub fn dataset_of(dir: &Path) -> String {
    findmnt(dir, "SOURCE")
}

/// The name of the filesystem that a directory is on.
pub fn filesystem_of(dir: &Path) -> String {
    findmnt(dir, "FSTYPE")
}

fn findmnt(dir: &Path, column: &str) -> String {
    let found = Command::new("findmnt").args(["-no", column, "-T"]).arg(dir).output().expect("run findmnt");
    assert!(found.status.success(), "{} is on no mount", dir.display());
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

/// Makes a directory that is a dataset of its own, below the dataset that it would be on. One that is there stays.
pub fn make_dataset(dir: &Path) {
    if !dir.exists() {
        let around = dataset_of(dir.parent().expect("a directory above"));
        let name = dir.file_name().expect("a directory has a name").to_string_lossy();
        dataset(&format!("{around}/{name}"), dir);
    }
}

fn image(file: &Path, size: u64, kind: &str) -> Result<(), Skip> {
    let mkfs = machine::need(&format!("mkfs.{kind}"))?;
    let disk = fs::File::create(file).expect("make the file of a scratch filesystem");
    disk.set_len(size).expect("set the size of a scratch filesystem");
    let made = Command::new(mkfs).arg("-q").arg(file).output().expect("run mkfs");
    assert!(made.status.success(), "mkfs.{kind}: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

fn loop_mount(file: &Path, dir: &Path) -> Result<(), Skip> {
    fs::create_dir_all(dir).expect("make a mount point");
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(file).arg(dir).output().expect("run mount");
    if mounted.status.success() {
        return Ok(());
    }
    Err(Skip(format!("loop devices: {}", String::from_utf8_lossy(&mounted.stderr).trim())))
}

/// Makes `dir` read-only for everybody in this namespace, by a mount of itself.
pub fn read_only(dir: &Path) {
    mount(Some(dir), dir, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind a directory on itself");
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, dir, None::<&str>, flags, None::<&str>).expect("make a mount read-only");
}
