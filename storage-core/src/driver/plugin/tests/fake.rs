//! A driver that does nothing and fails as it is told, behind the border.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::archive::{Change, ChangeKind, Whiteouts};
use crate::driver::plugin::export::{Exported, ExportedTable};
use crate::driver::plugin::host::{Plugin, Watch};
use crate::driver::plugin::table::Table;
use crate::driver::{
    Capabilities, Capability, Comparison, Cure, Descriptor, Detached, Driver, Exclusive, Extent, Flaw, Home, LayerRef,
    MountOptions, Mounting, Origin, OwnerMaps, Pin, Plan, Refusals, Request, RootFrom, Shared, Staged, Start, Survey,
    Swept, Trash, View,
};
use crate::error::{Error, Kind, Result};
use crate::idmap::{IdMap, Maps};
use crate::ids::LayerId;
use crate::task::Task;

/// What the driver here does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    Fails,
    Panics,
    Sleeps,
    /// It can't say what it can do.
    Untold,
}

/// One test at a time sets it.
pub(super) static MOOD: Mutex<Mood> = Mutex::new(Mood::Works);
pub(super) static ALONE: Mutex<()> = Mutex::new(());

/// The errors of which every part must come across.
pub(super) fn errors() -> Vec<Error> {
    let plain = || Error::new(Kind::Changed, "read layer").at("/a/\u{e4}").detail("it went").remedy("try again");
    vec![
        Error::new(Kind::Usage, "read option"),
        plain(),
        Error::os("renameat2(exchange)", "/b", io::Error::from_raw_os_error(libc::ENOSPC)),
        Error::os("write", "/b", io::Error::other("a broken pipe")),
        plain().because(Error::os("open", "/c", io::Error::from_raw_os_error(libc::EMFILE))),
        plain().because(io::Error::other("layer content modified")),
        Error::new(Kind::DriverUnusable, "try").because(Error::new(Kind::Io, "look")),
    ]
}

/// What every method begins with.
pub(super) fn act() -> Result<()> {
    let mood = *MOOD.lock();
    match mood {
        Mood::Works | Mood::Untold => Ok(()),
        Mood::Fails => errors().into_iter().nth(1).map_or(Ok(()), Err),
        Mood::Panics => panic!("on purpose"),
        Mood::Sleeps => {
            std::thread::sleep(Duration::from_millis(400));
            Ok(())
        }
    }
}

#[derive(Debug)]
pub(super) struct Fake;

#[derive(Debug)]
pub(super) struct Part(Maps);

impl Pin for Part {
    fn check(&self) -> Result<()> {
        act()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if *MOOD.lock() == Mood::Sleeps {
            let _ = act();
        }
    }
}

pub(super) fn directory() -> OwnedFd {
    std::fs::File::open("/").expect("the root").into()
}

impl Driver for Fake {
    fn capabilities(&self) -> Capabilities {
        assert!(*MOOD.lock() != Mood::Untold, "it can't be told");
        Capabilities::NONE.with(Capability::Quota, true)
    }
    fn has_kernel_mounts(&self) -> bool {
        true
    }
    fn parents_may_come_late(&self) -> bool {
        true
    }
    fn status(&self) -> Vec<(String, String)> {
        let _ = act();
        vec![("Key".to_owned(), "value".to_owned())]
    }
    fn exists(&self, _held: &Shared<'_>, id: &LayerId, home: Home) -> Result<bool> {
        act().map(|()| id.as_str() == "one" && home == Home::Additional(3))
    }
    fn list(&self, _held: &Shared<'_>, _home: Home) -> Result<Vec<String>> {
        act().map(|()| vec!["one".to_owned(), "two".to_owned()])
    }
    fn metadata(&self, _held: &Shared<'_>, layer: &LayerRef) -> Result<Vec<(String, String)>> {
        act().map(|()| vec![("Chain".to_owned(), format!("{layer:?}"))])
    }
    fn identity(&self, _held: &Shared<'_>, _id: &LayerId, _home: Home) -> Result<String> {
        act().map(|()| "identity".to_owned())
    }
    fn view(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<View> {
        act().map(|()| View::new(directory(), vec![Box::new(Part(Maps::NONE))]))
    }
    fn compare(
        &self,
        _held: &Shared<'_>,
        _layer: &LayerRef,
        _base: Option<&LayerRef>,
        maps: &OwnerMaps,
    ) -> Result<Box<dyn Comparison>> {
        act().map(|()| Box::new(Part(maps.base.clone())) as Box<dyn Comparison>)
    }
    fn is_untouched(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<bool> {
        act().map(|()| true)
    }
    fn write_mark(&self, _held: &Shared<'_>, _id: &LayerId, home: Home) -> Result<Option<String>> {
        act().map(|()| (home == Home::Own).then(|| "mark".to_owned()))
    }
    fn mount_point(&self, id: &LayerId, _home: Home) -> Result<PathBuf> {
        act().map(|()| Path::new("/points").join(id.as_str()))
    }
    fn name_directories(&self, _home: Home) -> Result<Vec<PathBuf>> {
        act().map(|()| vec!["/names".into()])
    }
    fn is_mounted(&self, _held: &Shared<'_>, _id: &LayerId, _home: Home) -> Result<bool> {
        act().map(|()| false)
    }
    fn examine(&self, _held: &Shared<'_>, _layer: &LayerRef) -> Result<Vec<Flaw>> {
        act().map(|()| vec![flaw()])
    }
    fn strays(&self, _held: &Shared<'_>) -> Result<Vec<PathBuf>> {
        act().map(|()| vec!["/stray".into()])
    }
    fn recall_parent(&self, _held: &Shared<'_>, _id: &LayerId, _home: Home) -> Result<Option<LayerId>> {
        act()?;
        LayerId::from_store("parent").map(Some)
    }
    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: true }
    }
    fn own_directory(&self, _id: &LayerId, _home: Home) -> Result<Option<PathBuf>> {
        act().map(|()| Some("/own".into()))
    }
    fn staging_homes(&self) -> Result<Vec<PathBuf>> {
        act().map(|()| vec!["/staging".into()])
    }
    fn begin(&self, _held: &Shared<'_>, plan: &Plan) -> Result<Box<dyn Staged>> {
        act().map(|()| Box::new(Part(plan.maps.clone())) as Box<dyn Staged>)
    }
    fn remove(&self, _held: &mut Exclusive<'_>, _id: &LayerId, _home: Home) -> Result<Box<dyn Trash>> {
        act().map(|()| Box::new(Part(Maps::NONE)) as Box<dyn Trash>)
    }
    fn heal(&self, _held: &mut Exclusive<'_>, _layer: &LayerRef) -> Result<()> {
        act()
    }
    fn remove_strays(&self, _held: &mut Exclusive<'_>) -> Result<u64> {
        act().map(|()| 5)
    }
    fn mount(&self, _held: &mut Mounting<'_>, _layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        act().map(|()| Path::new("/mounted").join(options.options.join(",")))
    }
    fn unmount(&self, _held: &mut Mounting<'_>, _id: &LayerId, _home: Home, extent: Extent) -> Result<Detached> {
        act().map(|()| Detached::new((extent == Extent::Unused).then(directory).into_iter().collect()))
    }
    fn retire(&self, _held: &mut Mounting<'_>) -> Result<Detached> {
        act().map(|()| Detached::default())
    }
    fn sweep(&self, deadline: Instant, task: &Task) -> Result<Swept> {
        act()?;
        task.step(3, 4)?;
        Ok(Swept { reclaimed: u64::from(deadline > Instant::now()), left: 2 })
    }
}

pub(super) fn flaw() -> Flaw {
    Flaw { path: "/flaw".into(), detail: "broken".to_owned(), cure: Cure::Loss }
}

impl Comparison for Part {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        act()?;
        task.step(0, 1)?;
        each(Change { path: "/gone".into(), kind: ChangeKind::Delete })
    }
    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, _task: &Task) -> Result<()> {
        act()?;
        out.write_all(b"archive").map_err(crate::archive::compression::write_failed)?;
        before_end()
    }
    fn size(&self, _task: &Task) -> Result<u64> {
        act().map(|()| self.0.uids.len() as u64)
    }
    fn check(&self) -> Result<()> {
        act()
    }
}

impl Staged for Part {
    fn fill(&mut self, task: &Task) -> Result<()> {
        act()?;
        task.step(1, 1)
    }
    fn settle(&mut self, _held: &Shared<'_>, _parent: &LayerRef, _root: RootFrom) -> Result<()> {
        act()
    }
    fn root(&self) -> Result<OwnedFd> {
        act().map(|()| directory())
    }
    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: false }
    }
    fn maps(&self) -> &Maps {
        &self.0
    }
    fn refusals(&self) -> Refusals {
        Refusals::Ignored
    }
    fn identity(&self) -> Result<String> {
        act().map(|()| "staged".to_owned())
    }
    fn commit(&mut self, _held: &mut Exclusive<'_>, _id: &LayerId) -> Result<()> {
        act()
    }
    fn replace(&mut self, _held: &mut Exclusive<'_>, _id: &LayerId) -> Result<Box<dyn Trash>> {
        act().map(|()| Box::new(Part(Maps::NONE)) as Box<dyn Trash>)
    }
}

impl Trash for Part {
    fn reclaim(self: Box<Self>, task: &Task) -> Result<()> {
        act()?;
        task.step(0, 9)
    }
}

pub(super) struct ThisDriver;

impl Exported for ThisDriver {
    const DESCRIPTOR: Descriptor = Descriptor {
        name: "fake",
        version: "1",
        priority: 7,
        automatic: true,
        origin: Origin::Linked,
        survey: &|request| {
            let _ = act();
            let reason =
                format!("{:?}", (&request.home, &request.image_home, &request.additional_homes, &request.options));
            Survey { usable: true, reason, capabilities: Capabilities::NONE.with(Capability::Quota, true) }
        },
        open: &|_| act().map(|()| Box::new(Fake) as Box<dyn Driver>),
    };
}

pub(super) static TABLE: ExportedTable = ExportedTable::of::<ThisDriver>();

pub(super) fn descriptor(watch: Watch) -> Descriptor {
    // SAFETY: the table is this file's, and whole.
    let table: Table = unsafe { *TABLE.get() };
    Box::leak(Box::new(Plugin { table, name: "fake", version: "1", file: Path::new("/fake.so"), watch })).descriptor()
}

pub(super) fn request() -> Request {
    Request {
        image_home: Some("/image".into()),
        additional_homes: vec!["/more".into()],
        options: vec![("key".to_owned(), "value".to_owned())],
        ..Request::of_home("/home", "/run")
    }
}

pub(super) fn driver() -> Box<dyn Driver> {
    *MOOD.lock() = Mood::Works;
    (descriptor(Watch::default()).open)(&request()).expect("open")
}

pub(super) fn id(name: &str) -> LayerId {
    LayerId::from_store(name).expect("id")
}

pub(super) fn layer() -> LayerRef {
    LayerRef::own(id("top"), [id("below"), id("bottom")])
}

pub(super) fn plan() -> Plan {
    let range = IdMap { container_id: 0, host_id: 1000, size: 5 };
    Plan { maps: Maps { uids: vec![range], gids: vec![range] }, ..Plan::new(Start::OnParent(Some(layer()))) }
}
