//! A scratch store on a btrfs of its own: a file, mounted where only the test sees it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::driver::ScratchLocks;
use storage_core::driver::{Comparison, Driver, LayerRef, OwnerMaps, Plan, Request, Shared, Staged, Start, View};
use storage_core::ids::LayerId;
use storage_core::locks::{Exclusive, ThreadKey};
use storage_core::mount::{Features, in_private_namespace};
use storage_core::{Error, Kind, Result, Task};
use storage_driver_btrfs::{Btrfs, Ways};

pub(crate) struct Store {
    pub(crate) home: PathBuf,
    pub(crate) driver: Btrfs,
    pub(crate) locks: ScratchLocks,
    pub(crate) key: ThreadKey,
}

pub(crate) fn request(dir: &Path, options: &[(&str, &str)]) -> Request {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    Request { options, ..Request::of_home(dir.join("btrfs"), dir.join("run")) }
}

pub(crate) fn id(name: &str) -> LayerId {
    LayerId::for_new(name).unwrap()
}

pub(crate) fn chain(names: &[&str]) -> LayerRef {
    LayerRef::own(id(names[0]), names[1..].iter().map(|name| id(name)))
}

impl Store {
    /// A store whose directory is the caller's.
    pub(crate) fn with_request(request: &Request, ways: Ways) -> Self {
        let driver = Btrfs::open_with(request, ways).unwrap();
        let locks = ScratchLocks::in_directory(request.home.parent().unwrap());
        Store { home: request.home.clone(), driver, locks, key: ThreadKey::take().unwrap() }
    }

    /// The same home with a driver that has other ways.
    pub(crate) fn reopen(&mut self, ways: Ways) {
        self.driver = Btrfs::open_with(&request(self.home.parent().unwrap(), &[]), ways).unwrap();
    }

    pub(crate) fn shared<R>(&mut self, body: impl FnOnce(&Btrfs, &Shared<'_>) -> R) -> R {
        self.locks.shared(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn exclusive<R>(&mut self, body: impl FnOnce(&Btrfs, &mut Exclusive<'_>) -> R) -> R {
        self.locks.exclusive(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn stage(&mut self, start: Start, script: &str) -> Result<Box<dyn Staged>> {
        let mut staged = self.shared(|driver, held| driver.begin(held, &Plan::new(start)))?;
        staged.fill(&Task::new("fill"))?;
        let root = staged.root()?;
        if !script.is_empty() {
            shell(&fd_path(&root), script);
        }
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

    /// The changes of a layer, one a line.
    pub(crate) fn changes(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Vec<String> {
        let compared = self.compare(layer, base);
        let mut lines = Vec::new();
        let mut each = |change: storage_core::archive::Change| {
            lines.push(change.to_string());
            Ok(())
        };
        compared.changes(&Task::new("compare"), &mut each).unwrap();
        lines
    }

    /// Runs a script in a layer that is there.
    pub(crate) fn edit(&self, layer: &LayerRef, script: &str) -> String {
        shell(&self.driver.mount_point(&layer.id, layer.home).unwrap(), script)
    }

    pub(crate) fn compare(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Box<dyn Comparison> {
        self.shared(|driver, held| driver.compare(held, layer, base, &OwnerMaps::default())).unwrap()
    }

    /// How many subvolumes there are beside the filesystem's own root.
    pub(crate) fn subvolumes(&self) -> usize {
        shell(&self.home, "btrfs subvolume list .").lines().count()
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

/// Runs `body` with the root of a fresh btrfs of `size` (`1G`), which nobody else sees.
pub(crate) fn with_disk(size: &str, body: impl FnOnce(&Path) + Send) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    in_private_namespace(|| {
        // In memory, so that the many commits of a test don't wait for a disk.
        let script = format!("mount -t tmpfs none .; cd \"$0/.\"; truncate -s {size} disk; mkfs.btrfs -q disk; mkdir m; mount -o loop disk m");
        shell(&path, &script);
        body(&path.join("m"));
        Ok(())
    })
    .unwrap();
}

/// Runs `body` with a store on a fresh btrfs.
pub(crate) fn with_store(ways: Ways, body: impl FnOnce(&mut Store) + Send) {
    with_disk("1G", |place| body(&mut Store::with_request(&request(place, &[]), ways)));
}

/// Every way that there is of comparing, the best first.
pub(crate) fn all_ways() -> [Ways; 4] {
    let best = Ways::of_process();
    assert!(best.send && best.snapshots, "these tests need root");
    let none = Features::NONE;
    [
        best,
        Ways { send: false, ..best },
        Ways { send: false, snapshots: false, ..best },
        Ways { send: false, snapshots: false, features: none },
    ]
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
