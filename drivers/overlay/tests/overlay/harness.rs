//! A scratch store in a mount namespace of its own: nothing that a test mounts is seen outside, or outlives a kill.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_core::driver::ScratchLocks;
use storage_core::driver::{
    Comparison, Detached, Driver, Exclusive, Extent, LayerRef, MountOptions, Mounting, Naive, OwnerMaps, Plan, Request,
    Shared, Staged, Start, Trash, View,
};
use storage_core::ids::LayerId;
use storage_core::locks::ThreadKey;
use storage_core::mount::{Features, in_private_namespace};
use storage_core::{Error, Kind, Result, Task};
use storage_driver_overlay::Overlay;

pub(crate) struct Store {
    pub(crate) home: PathBuf,
    pub(crate) driver: Overlay,
    locks: ScratchLocks,
    key: ThreadKey,
}

/// Runs `test` on a new store.
pub(crate) fn with_store(features: Features, mountopt: &str, test: impl FnOnce(&mut Store) + Send) {
    let dir = tempfile::tempdir().unwrap();
    with_store_in(dir.path(), features, mountopt, test);
    storage_core::fs::remove::remove_tree(&dir.keep(), &Task::new("clean up")).unwrap();
}

/// Runs `test` on a store in `dir`, which stays.
pub(crate) fn with_store_in(dir: &Path, features: Features, mountopt: &str, test: impl FnOnce(&mut Store) + Send) {
    with_request(dir, features, request(dir, mountopt), "", test);
}

/// Runs `test` on a store that `request` asks for, after a shell script in `dir`.
pub(crate) fn with_request(
    dir: &Path,
    features: Features,
    request: Request,
    before: &str,
    test: impl FnOnce(&mut Store) + Send,
) {
    in_private_namespace(|| {
        if !before.is_empty() {
            shell_in(dir, before);
        }
        let driver = Overlay::open_with(&request, features)?;
        let locks = ScratchLocks::in_directory(dir);
        test(&mut Store { home: request.home, driver, locks, key: ThreadKey::take()? });
        Ok(())
    })
    .unwrap();
}

pub(crate) fn request(dir: &Path, mountopt: &str) -> Request {
    let options = vec![("mountopt".to_owned(), mountopt.to_owned())];
    Request { options, ..Request::of_home(dir.join("overlay"), dir.join("run")) }
}

pub(crate) fn id(name: &str) -> LayerId {
    LayerId::for_new(name).unwrap()
}

/// The chain `names`, the topmost first.
pub(crate) fn chain(names: &[&str]) -> LayerRef {
    LayerRef::own(id(names[0]), names[1..].iter().map(|name| id(name)))
}

impl Store {
    pub(crate) fn shared<R>(&mut self, body: impl FnOnce(&Overlay, &Shared<'_>) -> R) -> R {
        self.locks.shared(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn exclusive<R>(&mut self, body: impl FnOnce(&Overlay, &mut Exclusive<'_>) -> R) -> R {
        self.locks.exclusive(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn mounting<R>(&mut self, body: impl FnOnce(&Overlay, &mut Mounting<'_>) -> R) -> R {
        self.locks.mounting(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn begin(&mut self, start: Start) -> Result<Box<dyn Staged>> {
        self.begin_as(&Plan::new(start))
    }

    pub(crate) fn begin_as(&mut self, plan: &Plan) -> Result<Box<dyn Staged>> {
        self.shared(|driver, held| driver.begin(held, plan))
    }

    pub(crate) fn commit(&mut self, mut staged: Box<dyn Staged>, name: &str) -> Result<()> {
        self.exclusive(|_, held| staged.commit(held, &id(name)))
    }

    /// Makes the layer `names[0]` on the others and fills it by a shell script that runs in its directory.
    pub(crate) fn make(&mut self, names: &[&str], script: &str) -> LayerRef {
        let layer = chain(names);
        self.make_as(&layer, &Plan::new(Start::OnParent(layer.parent_ref())), script);
        layer
    }

    /// Makes the layer as `plan` says.
    pub(crate) fn make_as(&mut self, layer: &LayerRef, plan: &Plan, script: &str) {
        let mut staged = self.begin_as(plan).unwrap();
        staged.fill(&Task::new("fill")).unwrap();
        if !script.is_empty() {
            shell_in(&fd_path(std::os::fd::AsFd::as_fd(&staged.root().unwrap())), script);
        }
        self.commit(staged, layer.id.as_str()).unwrap();
    }

    /// Makes a chain of `depth` layers `l0` … on each other, of which every one holds a file of its name.
    pub(crate) fn make_deep(&mut self, prefix: &str, depth: usize) -> LayerRef {
        let mut ancestors: Vec<LayerId> = Vec::new();
        for index in 0..depth {
            let layer = LayerRef::own(id(&format!("{prefix}{index}")), ancestors.clone());
            let mut staged = self.begin(Start::OnParent(layer.parent_ref())).unwrap();
            let fd = staged.root().unwrap();
            let root = Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string());
            std::fs::write(root.join(format!("f{index}")), "x").unwrap();
            std::fs::write(root.join("same"), format!("{index}")).unwrap();
            self.exclusive(|_, held| staged.commit(held, &layer.id)).unwrap();
            ancestors.insert(0, layer.id);
        }
        LayerRef::own(ancestors.remove(0), ancestors)
    }

    pub(crate) fn view(&mut self, layer: &LayerRef) -> Result<View> {
        self.shared(|driver, held| driver.view(held, layer))
    }

    pub(crate) fn compare(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Box<dyn Comparison>> {
        self.shared(|driver, held| driver.compare(held, layer, base, &OwnerMaps::default()))
    }

    /// The comparison that knows nothing of overlay.
    pub(crate) fn compare_naively(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Naive {
        let new = self.view(layer).unwrap();
        Naive::new(new, base.map(|base| self.view(base).unwrap()), OwnerMaps::default())
    }

    pub(crate) fn mount(&mut self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        self.mounting(|driver, held| driver.mount(held, layer, options))
    }

    pub(crate) fn unmount(&mut self, layer: &LayerRef, extent: Extent) -> Result<Detached> {
        self.mounting(|driver, held| driver.unmount(held, &layer.id, layer.home, extent))
    }

    /// Mounts the layer, runs a shell script in it, and unmounts it.
    pub(crate) fn edit(&mut self, layer: &LayerRef, script: &str) {
        let merged = self.mount(layer, &MountOptions::default()).unwrap();
        shell_in(&merged, script);
        drop(self.unmount(layer, Extent::One).unwrap());
    }

    pub(crate) fn remove(&mut self, layer: &LayerRef) -> Result<Box<dyn Trash>> {
        self.exclusive(|driver, held| driver.remove(held, &layer.id, layer.home))
    }

    pub(crate) fn heal(&mut self, layer: &LayerRef) -> Result<()> {
        self.exclusive(|driver, held| driver.heal(held, layer))
    }
}

/// A path to what a descriptor has open, also for other processes.
pub(crate) fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    // The descriptor is only good for as long as it is open, so it is duplicated for good: tests are short.
    let kept = fd.try_clone_to_owned().unwrap();
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), kept.as_raw_fd()));
    std::mem::forget(kept);
    path
}

pub(crate) fn shell_in(dir: &Path, script: &str) {
    let status = Command::new("bash").args(["-euc", &format!("cd \"$0/.\"; {script}")]).arg(dir).status().unwrap();
    assert!(status.success(), "in {}: {script}", dir.display());
}

pub(crate) fn shell_output(dir: &Path, script: &str) -> String {
    let output = Command::new("bash").args(["-euc", &format!("cd \"$0/.\"; {script}")]).arg(dir).output().unwrap();
    assert!(output.status.success(), "in {}: {script}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All that can be told of every entry of a tree, but for inode numbers and the times of directories.
pub(crate) fn listing(dir: &Path) -> String {
    shell_output(
        dir,
        "find . -type d -printf '%p %y %m %U:%G\\n' -o -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort; \
         find . -type f | sort | xargs -r -d '\\n' sha256sum",
    )
}

pub(crate) fn changes(comparison: &dyn Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    let told = comparison.changes(&Task::new("compare"), &mut |change| {
        lines.push(change.to_string());
        Ok(())
    });
    told.unwrap();
    lines
}

pub(crate) fn kind<T>(result: Result<T>) -> Option<Kind> {
    result.err().map(|error: Error| error.kind())
}

/// Whether nothing is left in staging and trash that nobody holds.
pub(crate) fn is_clean(store: &Store) -> bool {
    let soon = std::time::Instant::now() + std::time::Duration::from_mins(1);
    // Between the fork and the exec of a shell that another test starts, its child holds this one's locks too.
    (0..500).any(|_| {
        store.driver.sweep(soon, &Task::new("sweep")).unwrap();
        let clean = std::fs::read_dir(store.home.join("tempdirs")).unwrap().count() == 0;
        if !clean {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        clean
    })
}
