//! A scratch store on a dataset of its own.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use storage_core::driver::{
    Comparison, Driver, Home, LayerRef, OwnerMaps, Plan, Request, ScratchLocks, Shared, Staged, Start, Swept, View,
};
use storage_core::ids::LayerId;
use storage_core::locks::{Exclusive, Mounting, ThreadKey};
use storage_core::mount::Features;
use storage_core::{Error, Kind, Result, Task};
use storage_driver_zfs::Zfs;

pub(crate) struct Store {
    /// The dataset of the graph root.
    pub(crate) root: String,
    pub(crate) home: PathBuf,
    pub(crate) driver: Zfs,
    pub(crate) locks: ScratchLocks,
    pub(crate) key: ThreadKey,
}

pub(crate) fn task() -> Task {
    Task::new("test")
}

pub(crate) fn id(name: &str) -> LayerId {
    LayerId::for_new(name).unwrap()
}

pub(crate) fn chain(names: &[&str]) -> LayerRef {
    LayerRef::own(id(names[0]), names[1..].iter().map(|name| id(name)))
}

/// A new dataset below the pool of the tests, mounted at `/` and its name.
fn new_dataset() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pool = std::env::var("LAMINA_ZFS_POOL").expect("LAMINA_ZFS_POOL names a pool: run tests/zfs-vm/run");
    format!("{pool}/test{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with(Features::of_kernel(), &[])
    }

    pub(crate) fn with(features: Features, options: &[(&str, &str)]) -> Self {
        let root = new_dataset();
        shell("/", &format!("zfs create -o mountpoint=/{root} {root}"));
        Self::at(&root, features, options)
    }

    /// A store on a dataset that is there and mounted at `/` and its name.
    pub(crate) fn at(root: &str, features: Features, options: &[(&str, &str)]) -> Self {
        let request = request(root, options);
        let driver = Zfs::open_with(&request, features).unwrap();
        let locks = ScratchLocks::in_directory(request.home.parent().unwrap());
        Store { root: root.to_owned(), home: request.home, driver, locks, key: ThreadKey::take().unwrap() }
    }

    /// A driver on another home, whose layers are below the same dataset.
    pub(crate) fn neighbour(&self) -> (Zfs, PathBuf) {
        let request = request(&format!("{}/beside", self.root), &[("fsname", &self.root)]);
        std::fs::create_dir_all(request.home.parent().unwrap()).unwrap();
        (Zfs::open(&request).unwrap(), request.home)
    }

    /// Goes on with another driver and its home, and gives the ones of now.
    pub(crate) fn go_on_with(&mut self, (driver, home): (Zfs, PathBuf)) -> (Zfs, PathBuf) {
        (std::mem::replace(&mut self.driver, driver), std::mem::replace(&mut self.home, home))
    }

    pub(crate) fn shared<R>(&mut self, body: impl FnOnce(&Zfs, &Shared<'_>) -> R) -> R {
        self.locks.shared(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn exclusive<R>(&mut self, body: impl FnOnce(&Zfs, &mut Exclusive<'_>) -> R) -> R {
        self.locks.exclusive(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn mounting<R>(&mut self, body: impl FnOnce(&Zfs, &mut Mounting<'_>) -> R) -> R {
        self.locks.mounting(&mut self.key, |held| body(&self.driver, held)).unwrap()
    }

    pub(crate) fn begin(&mut self, plan: &Plan) -> Result<Box<dyn Staged>> {
        let mut staged = self.shared(|driver, held| driver.begin(held, plan))?;
        staged.fill(&task())?;
        Ok(staged)
    }

    pub(crate) fn stage(&mut self, start: Start, script: &str) -> Result<Box<dyn Staged>> {
        let staged = self.begin(&Plan::new(start))?;
        let root = staged.root()?;
        if !script.is_empty() {
            shell(fd_path(&root), script);
        }
        Ok(staged)
    }

    pub(crate) fn commit(&mut self, mut staged: Box<dyn Staged>, name: &str) -> Result<()> {
        self.exclusive(|_, held| staged.commit(held, &id(name)))
    }

    /// Makes the layer `names[0]` on those below it.
    pub(crate) fn make(&mut self, names: &[&str], script: &str) -> LayerRef {
        let layer = chain(names);
        let staged = self.stage(Start::OnParent(layer.parent_ref()), script).unwrap();
        self.commit(staged, names[0]).unwrap();
        layer
    }

    pub(crate) fn view(&mut self, layer: &LayerRef) -> Result<View> {
        self.shared(|driver, held| driver.view(held, layer))
    }

    pub(crate) fn compare(&mut self, layer: &LayerRef, base: Option<&LayerRef>) -> Result<Box<dyn Comparison>> {
        self.shared(|driver, held| driver.compare(held, layer, base, &OwnerMaps::default()))
    }

    /// The option of the zfs command that makes something this store's.
    pub(crate) fn owned(&self) -> String {
        format!("-o lamina:home={}", std::fs::read_to_string(self.home.join("lamina-id")).unwrap())
    }

    pub(crate) fn list(&mut self) -> Vec<String> {
        self.shared(|driver, held| driver.list(held, Home::Own)).unwrap()
    }

    pub(crate) fn sweep(&self) -> Swept {
        self.driver.sweep(Instant::now() + Duration::from_mins(1), &task()).unwrap()
    }

    /// What a view of the layer shows.
    pub(crate) fn read(&mut self, layer: &LayerRef, script: &str) -> String {
        let view = self.view(layer).unwrap();
        shell(format!("/proc/{}/fd/{}", std::process::id(), view.root().as_raw_fd()), script)
    }

    /// The datasets and snapshots of our own that are still there, but for those that wait for their clones.
    pub(crate) fn leftovers(&self) -> String {
        let list = format!("zfs list -H -r -t filesystem,snapshot -o name,defer_destroy {}", self.root);
        shell(
            "/",
            &format!(
                "{list} | grep lamina: | grep -v 'on$' || true; ls {}/tempdirs 2>/dev/null || true",
                self.home.display()
            ),
        )
    }
}

pub(crate) fn request(root: &str, options: &[(&str, &str)]) -> Request {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    Request { options, ..Request::of_home(format!("/{root}/zfs"), format!("/{root}/run")) }
}

/// A path to what a descriptor has open, also for other processes.
pub(crate) fn fd_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
}

/// Runs a script in a directory and gives what it wrote.
pub(crate) fn shell(dir: impl AsRef<Path>, script: &str) -> String {
    let (good, stdout, stderr) = try_shell(dir, script);
    assert!(good, "{script}: {stderr}");
    stdout
}

pub(crate) fn try_shell(dir: impl AsRef<Path>, script: &str) -> (bool, String, String) {
    let script = format!("cd \"$0/.\"; {script}");
    let output = Command::new("bash").args(["-euc", &script]).arg(dir.as_ref()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

pub(crate) fn kind<T>(result: Result<T>) -> Option<Kind> {
    result.err().map(|error: Error| error.kind())
}
