//! The wrong things themselves.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use storage_core::driver::Request;
use storage_core::error::OsContext;
use storage_core::lockfile::{Access, Hold, LockFile, Mode, Wait};
use storage_core::{Error, Kind, Result};

/// Where the store's own files are, guessed from what a driver is told.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    graph: PathBuf,
    run: PathBuf,
    driver: String,
}

impl Store {
    pub(crate) fn of(request: &Request) -> Self {
        let driver = request.home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = |path: &Path| path.parent().unwrap_or(path).to_path_buf();
        Store { graph: parent(&request.home), run: parent(&request.run_home), driver }
    }

    fn lasting(&self, name: &str) -> PathBuf {
        self.graph.join(format!("{}-layers", self.driver)).join(name)
    }

    fn running(&self, name: &str) -> PathBuf {
        self.run.join(format!("{}-layers", self.driver)).join(name)
    }

    /// Waits a moment for a lock that is none of a driver's.
    fn take(path: PathBuf, mode: Mode) -> Option<Hold> {
        LockFile::new(path, Access::ReadWrite).acquire(mode, &Wait::at_most(Duration::from_millis(30))).ok()
    }

    pub(crate) fn take_an_earlier_lock(&self) {
        drop(Store::take(self.graph.join("userns.lock"), Mode::Shared));
    }

    pub(crate) fn take_layers_lock(&self) -> Option<Hold> {
        Store::take(self.lasting("layers.lock"), Mode::Shared)
    }

    /// A second descriptor of the lock on the layers that this process holds.
    pub(crate) fn keep_layers_lock(&self) -> Option<OwnedFd> {
        let lock = fs::canonicalize(self.lasting("layers.lock")).ok()?;
        let descriptors = fs::read_dir("/proc/self/fd").ok()?.flatten();
        let number = descriptors
            .filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == lock))
            .find_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())?;
        // SAFETY: the descriptor was open a moment ago and belongs to a guard of the caller's, which lives as long as this call.
        let held = unsafe { BorrowedFd::borrow_raw(number) };
        held.try_clone_to_owned().ok()
    }

    pub(crate) fn replace_layers_lock(&self) {
        let (lock, new) = (self.lasting("layers.lock"), self.lasting("layers.lock.new"));
        let _ = fs::copy(&lock, &new);
        let _ = fs::rename(&new, &lock);
    }

    pub(crate) fn forget_counts(&self) {
        let _ = fs::write(self.running("mountpoints.json"), "[]");
    }

    /// The same records in a new file.
    pub(crate) fn rewrite_records(&self) {
        let (records, new) = (self.lasting("layers.json"), self.lasting("layers.json.new"));
        let _ = fs::copy(&records, &new);
        let _ = fs::rename(&new, &records);
    }

    /// A directory that is a mount of itself.
    pub(crate) fn attach(&self, name: &str) -> PathBuf {
        let point = self.run.join(format!("{}-mounts", self.driver)).join(name);
        let _ = fs::create_dir_all(&point);
        let _ = mount(Some(&point), &point, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        point
    }

    /// Ends the mounts of all layers of the driver.
    pub(crate) fn detach_all(&self) {
        let home = self.graph.join(&self.driver);
        for mount in storage_core::mount::mounts_here().unwrap_or_default().iter().rev() {
            if mount.mount_point.starts_with(&home) && mount.mount_point != home {
                let _ = umount2(&mount.mount_point, MntFlags::MNT_DETACH);
            }
        }
    }
}

pub(crate) fn detach(point: &Path) {
    let _ = umount2(point, MntFlags::MNT_DETACH);
}

/// Reads and writes more than a layer's records ever need.
pub(crate) fn copy_a_lot(directory: &Path) {
    let path = directory.join("copy");
    let _ = fs::create_dir_all(directory).and_then(|()| fs::write(&path, vec![1_u8; 3 << 20]));
    let _ = File::open(&path).map(|file| file.as_raw_fd());
    let _ = fs::read(&path);
    let _ = fs::remove_file(&path);
}

/// A file that stands while a layer is made; one of a dead process is in everybody's way for ever.
#[derive(Debug)]
pub(crate) struct Mark(PathBuf);

impl Mark {
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        fs::create_dir_all(directory).os("mkdir", directory)?;
        for entry in fs::read_dir(directory).os("open directory", directory)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = name.strip_prefix("begun-").and_then(|rest| rest.split('-').next());
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                return Err(Error::new(Kind::Busy, "begin").at(entry.path()).detail("somebody died here"));
            }
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("begun-{}-{number}", std::process::id()));
        fs::write(&path, "").os("write", &path)?;
        Ok(Mark(path))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
