//! A scratch store.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::driver::ScratchLocks;
use storage_core::driver::{Comparison, Driver, LayerRef, OwnerMaps, Plan, Request, Shared, Staged, Start, View};
use storage_core::ids::LayerId;
use storage_core::locks::{Exclusive, ThreadKey};
use storage_core::mount::Features;
use storage_core::{Error, Kind, Result, Task};
use storage_driver_vfs::Vfs;

pub(crate) struct Store {
    pub(crate) home: PathBuf,
    pub(crate) driver: Vfs,
    pub(crate) locks: ScratchLocks,
    pub(crate) key: ThreadKey,
    dir: Option<tempfile::TempDir>,
}

pub(crate) fn request(dir: &Path, options: &[(&str, &str)]) -> Request {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    Request { options, ..Request::of_home(dir.join("vfs"), dir.join("run")) }
}

pub(crate) fn id(name: &str) -> LayerId {
    LayerId::for_new(name).unwrap()
}

pub(crate) fn chain(names: &[&str]) -> LayerRef {
    LayerRef::own(id(names[0]), names[1..].iter().map(|name| id(name)))
}

impl Store {
    pub(crate) fn new(features: Features) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Self::with_request(&request(dir.path(), &[]), features);
        store.dir = Some(dir);
        store
    }

    /// A store whose directory is the caller's.
    pub(crate) fn with_request(request: &Request, features: Features) -> Self {
        let driver = Vfs::open_with(request, features).unwrap();
        let locks = ScratchLocks::in_directory(request.home.parent().unwrap());
        Store { home: request.home.clone(), driver, locks, key: ThreadKey::take().unwrap(), dir: None }
    }

    pub(crate) fn shared<R>(&mut self, body: impl FnOnce(&Vfs, &Shared<'_>) -> R) -> R {
        self.locks.shared(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn exclusive<R>(&mut self, body: impl FnOnce(&Vfs, &mut Exclusive<'_>) -> R) -> R {
        self.locks.exclusive(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn stage(&mut self, start: Start, script: &str) -> Result<Box<dyn Staged>> {
        let mut staged = self.shared(|driver, held| driver.begin(held, &Plan::new(start)))?;
        staged.fill(&Task::new("fill"))?;
        let root = staged.root()?;
        shell(&fd_path(&root), script);
        Ok(staged)
    }

    pub(crate) fn commit(&mut self, mut staged: Box<dyn Staged>, name: &str) -> Result<()> {
        self.exclusive(|_, held| staged.commit(held, &id(name)))
    }

    pub(crate) fn make(&mut self, names: &[&str], script: &str) -> LayerRef {
        let layer = chain(names);
        let staged = self.stage(Start::OnParent(layer.parent_ref()), script).unwrap();
        self.commit(staged, names[0]).unwrap();
        layer
    }

    pub(crate) fn view(&mut self, layer: &LayerRef) -> Result<View> {
        self.shared(|driver, held| driver.view(held, layer))
    }

    pub(crate) fn compare(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Box<dyn Comparison> {
        self.shared(|driver, held| driver.compare(held, layer, base, &OwnerMaps::default())).unwrap()
    }

    /// What is left in staging and trash for good. Between the fork and the exec of a shell that another test starts, its
    /// child holds this one's locks too, so a single sweep may find them taken.
    pub(crate) fn leftovers(&self) -> usize {
        let soon = std::time::Instant::now() + std::time::Duration::from_mins(1);
        let sweep = || {
            self.driver.sweep(soon, &Task::new("sweep")).unwrap();
            std::fs::read_dir(self.home.join("tempdirs")).map_or(0, Iterator::count)
        };
        for _ in 0..500 {
            if sweep() == 0 {
                return 0;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        sweep()
    }
}

/// A path to what a descriptor has open, also for other processes.
pub(crate) fn fd_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
}

pub(crate) fn shell(dir: &Path, script: &str) -> String {
    let output = Command::new("bash").args(["-euc", &format!("cd \"$0/.\"; {script}")]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn kind<T>(result: Result<T>) -> Option<Kind> {
    result.err().map(|error: Error| error.kind())
}
