//! A good driver that panics in the one operation that the environment names: what `export_driver!` owes to it.

use std::fmt::Debug;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use storage_core::archive::{Change, Whiteouts};
use storage_core::driver::{
    Capabilities, Comparison, Descriptor, Detached, Driver, Exclusive, Extent, Flaw, Home, LayerRef, MountOptions,
    Mounting, Origin, OwnerMaps, Pin, Plan, Refusals, Request, RootFrom, Shared, Staged, Survey, Swept, Trash, View,
};
use storage_core::error::{OsContext, Result};
use storage_core::idmap::Maps;
use storage_core::ids::LayerId;
use storage_core::task::Task;

/// The variable that names the operation, as the table of plugins calls it.
pub const VARIABLE: &str = "LAMINA_PANIC_IN";

/// The driver; for use as a plugin.
pub const PANICS: Descriptor = Descriptor {
    name: "panics",
    version: env!("CARGO_PKG_VERSION"),
    priority: -1,
    automatic: false,
    origin: Origin::Linked,
    survey: &survey,
    open: &open,
};

#[cfg(feature = "plugin")]
storage_core::export_driver!(PANICS);

/// Begins `operation`.
fn here(operation: &str) {
    assert!(std::env::var_os(VARIABLE).is_none_or(|wanted| wanted != operation), "on purpose in {operation}");
}

fn survey(request: &Request) -> Survey {
    here("survey");
    (storage_driver_vfs::DESCRIPTOR.survey)(request)
}

fn open(request: &Request) -> Result<Box<dyn Driver>> {
    here("open");
    Ok(Box::new(Panics { inner: (storage_driver_vfs::DESCRIPTOR.open)(request)?, _end: End("close") }))
}

/// The driver or what it gave out, and the operation that is its end.
#[derive(Debug)]
struct Panics<Inner: Debug> {
    inner: Inner,
    _end: End,
}

/// Trash, until it is reclaimed.
#[derive(Debug)]
struct PanicsInTrash(Option<Box<dyn Trash>>);

/// What stays open with a view.
#[derive(Debug)]
struct PanicsInView {
    inner: View,
    _end: End,
}

#[derive(Debug)]
struct End(&'static str);

impl Drop for End {
    fn drop(&mut self) {
        here(self.0);
    }
}

impl Drop for PanicsInTrash {
    fn drop(&mut self) {
        if self.0.is_some() {
            here("trash_leave");
        }
    }
}

fn view(inner: Result<View>) -> Result<View> {
    let inner = inner?;
    let root = inner.root().try_clone_to_owned().os("fcntl(F_DUPFD_CLOEXEC)", "/proc/self/fd")?;
    Ok(View::new(root, vec![Box::new(PanicsInView { inner, _end: End("view_close") })]))
}

fn trash(inner: Box<dyn Trash>) -> Box<dyn Trash> {
    Box::new(PanicsInTrash(Some(inner)))
}

/// Methods that do what the inner driver does.
macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty $(=> $wrap:expr)?;)*) => {$(
        fn $name(&self, $($arg: $type),*) -> $result {
            here(stringify!($name));
            let done = self.inner.$name($($arg),*);
            $(let done = $wrap(done);)?
            done
        }
    )*};
}

impl Driver for Panics<Box<dyn Driver>> {
    forward! {
        capabilities() -> Capabilities;
        has_kernel_mounts() -> bool;
        parents_may_come_late() -> bool;
        status() -> Vec<(String, String)>;
        exists(held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool>;
        list(held: &Shared<'_>, home: Home) -> Result<Vec<String>>;
        metadata(held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>>;
        identity(held: &Shared<'_>, id: &LayerId, home: Home) -> Result<String>;
        view(held: &Shared<'_>, layer: &LayerRef) -> Result<View> => view;
        own_files(held: &Shared<'_>, layer: &LayerRef) -> Result<View> => view;
        compare(held: &Shared<'_>, layer: &LayerRef, base: Option<&LayerRef>, maps: &OwnerMaps)
            -> Result<Box<dyn Comparison>> => |done: Result<_>| done.map(|inner| Box::new(Panics { inner, _end: End("comparison_close") }) as _);
        is_untouched(held: &Shared<'_>, layer: &LayerRef) -> Result<bool>;
        write_mark(held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<String>>;
        mount_point(id: &LayerId, home: Home) -> Result<PathBuf>;
        name_directories(home: Home) -> Result<Vec<PathBuf>>;
        is_mounted(held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool>;
        examine(held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<Flaw>>;
        strays(held: &Shared<'_>) -> Result<Vec<PathBuf>>;
        recall_parent(held: &Shared<'_>, id: &LayerId, home: Home) -> Result<Option<LayerId>>;
        whiteouts() -> Whiteouts;
        own_directory(id: &LayerId, home: Home) -> Result<Option<PathBuf>>;
        staging_homes() -> Result<Vec<PathBuf>>;
        begin(held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>>
            => |done: Result<_>| done.map(|inner| Box::new(Panics { inner, _end: End("staged_discard") }) as _);
        remove(held: &mut Exclusive<'_>, id: &LayerId, home: Home) -> Result<Box<dyn Trash>>
            => |done: Result<_>| done.map(trash);
        heal(held: &mut Exclusive<'_>, layer: &LayerRef) -> Result<()>;
        remove_strays(held: &mut Exclusive<'_>) -> Result<u64>;
        mount(held: &mut Mounting<'_>, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf>;
        unmount(held: &mut Mounting<'_>, id: &LayerId, home: Home, extent: Extent) -> Result<Detached>;
        retire(held: &mut Mounting<'_>) -> Result<Detached>;
        sweep(deadline: Instant, task: &Task) -> Result<Swept>;
    }
}

impl Pin for PanicsInView {
    fn check(&self) -> Result<()> {
        here("view_check");
        self.inner.check()
    }
}

impl Staged for Panics<Box<dyn Staged>> {
    fn fill(&mut self, task: &Task) -> Result<()> {
        here("staged_fill");
        self.inner.fill(task)
    }

    fn settle(&mut self, held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        here("staged_settle");
        self.inner.settle(held, parent, root)
    }

    fn root(&self) -> Result<OwnedFd> {
        here("staged_root");
        self.inner.root()
    }

    fn whiteouts(&self) -> Whiteouts {
        here("staged_whiteouts");
        self.inner.whiteouts()
    }

    fn maps(&self) -> &Maps {
        self.inner.maps()
    }

    fn refusals(&self) -> Refusals {
        here("staged_refusals");
        self.inner.refusals()
    }

    fn identity(&self) -> Result<String> {
        here("staged_identity");
        self.inner.identity()
    }

    fn commit(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        here("staged_commit");
        self.inner.commit(held, id)
    }

    fn replace(&mut self, held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        here("staged_replace");
        self.inner.replace(held, id).map(trash)
    }
}

impl Trash for PanicsInTrash {
    fn reclaim(mut self: Box<Self>, task: &Task) -> Result<()> {
        here("trash_reclaim");
        self.0.take().map_or(Ok(()), |inner| inner.reclaim(task))
    }
}

impl Comparison for Panics<Box<dyn Comparison>> {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        here("comparison_changes");
        self.inner.changes(task, each)
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        here("comparison_pack");
        self.inner.pack(out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        here("comparison_size");
        self.inner.size(task)
    }

    fn check(&self) -> Result<()> {
        here("comparison_check");
        self.inner.check()
    }
}
