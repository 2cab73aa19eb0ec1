//! Both sides of the border in one process: what a driver says and does comes across whole, and so do its panics.

mod fake;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::host::{Silence, Watch};
use crate::archive::Whiteouts;
use crate::driver::{
    Capability, Driver, Extent, Home, MountOptions, Origin, OwnerMaps, Refusals, RootFrom, ScratchLocks, Swept,
};
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;
use crate::task::{Cancel, Progress, Task};

use fake::{ALONE, MOOD, Mood, descriptor, driver, errors, flaw, id, layer, plan, request};

/// Calls every operation that can fail, and gives the error of each with its name.
fn all_errors(driver: &dyn Driver) -> Vec<(&'static str, Error)> {
    let (dir, mut key) = (tempfile::tempdir().expect("dir"), ThreadKey::take().expect("key"));
    let locks = ScratchLocks::in_directory(dir.path());
    let (one, home, task) = (id("one"), Home::Own, Task::new("test"));
    let mut failed = Vec::new();
    let mut note = |name, result: Result<()>| failed.push((name, result.expect_err(name)));
    let handles = locks.shared(&mut key, |held| {
        *MOOD.lock() = Mood::Works;
        let staged = driver.begin(held, &plan()).expect("begin");
        let view = driver.view(held, &layer()).expect("view");
        (staged, view, driver.compare(held, &layer(), None, &OwnerMaps::default()).expect("compare"))
    });
    let (mut staged, view, comparison) = handles.expect("lock");
    let trash = locks.exclusive(&mut key, |held| driver.remove(held, &one, home).expect("remove")).expect("lock");
    *MOOD.lock() = if failing() { Mood::Fails } else { Mood::Panics };
    let shared = locks.shared(&mut key, |held| {
        note("exists", driver.exists(held, &one, home).map(drop));
        note("list", driver.list(held, home).map(drop));
        note("metadata", driver.metadata(held, &layer()).map(drop));
        note("identity", driver.identity(held, &one, home).map(drop));
        note("view", driver.view(held, &layer()).map(drop));
        note("own_files", driver.own_files(held, &layer()).map(drop));
        note("compare", driver.compare(held, &layer(), Some(&layer()), &OwnerMaps::default()).map(drop));
        note("is_untouched", driver.is_untouched(held, &layer()).map(drop));
        note("write_mark", driver.write_mark(held, &one, home).map(drop));
        note("is_mounted", driver.is_mounted(held, &one, home).map(drop));
        note("examine", driver.examine(held, &layer()).map(drop));
        note("strays", driver.strays(held).map(drop));
        note("recall_parent", driver.recall_parent(held, &one, home).map(drop));
        note("begin", driver.begin(held, &plan()).map(drop));
        note("staged_settle", staged.settle(held, &layer(), RootFrom::Parent));
    });
    shared.expect("lock");
    note("mount_point", driver.mount_point(&one, home).map(drop));
    note("name_directories", driver.name_directories(home).map(drop));
    note("own_directory", driver.own_directory(&one, home).map(drop));
    note("staging_homes", driver.staging_homes().map(drop));
    note("view_check", view.check());
    note("staged_fill", staged.fill(&task));
    note("staged_root", staged.root().map(drop));
    note("staged_identity", staged.identity().map(drop));
    note("comparison_changes", comparison.changes(&task, &mut |_| Ok(())));
    note("comparison_pack", comparison.pack(&mut io::sink(), &mut || Ok(()), &task));
    note("comparison_size", comparison.size(&task).map(drop));
    note("comparison_check", comparison.check());
    note("trash_reclaim", trash.reclaim(&task));
    note("sweep", driver.sweep(Instant::now(), &task).map(drop));
    let exclusive = locks.exclusive(&mut key, |held| {
        note("staged_commit", staged.commit(held, &one));
        note("staged_replace", staged.replace(held, &one).map(drop));
        note("remove", driver.remove(held, &one, home).map(drop));
        note("heal", driver.heal(held, &layer()));
        note("remove_strays", driver.remove_strays(held).map(drop));
    });
    exclusive.expect("lock");
    let mounting = locks.mounting(&mut key, |held| {
        note("mount", driver.mount(held, &layer(), &MountOptions::default()).map(drop));
        note("unmount", driver.unmount(held, &one, home, Extent::All).map(drop));
        note("retire", driver.retire(held).map(drop));
    });
    mounting.expect("lock");
    failed
}

static FAILING: AtomicBool = AtomicBool::new(false);

fn failing() -> bool {
    FAILING.load(Ordering::Relaxed)
}

#[test]
fn a_panic_in_any_operation_is_an_error_and_the_driver_goes_on() {
    let _alone = ALONE.lock();
    let driver = driver();
    FAILING.store(false, Ordering::Relaxed);
    let errors = all_errors(&*driver);
    assert_eq!(errors.len(), 37);
    for (name, error) in errors {
        assert_eq!(error.kind(), Kind::BadPlugin, "{name}: {error}");
        assert_eq!(error.operation(), name);
        assert!(error.to_string().contains("the driver panicked: on purpose"), "{name}: {error}");
    }
    // What can't fail has an answer all the same.
    assert!(driver.status()[0].1.contains("panicked"));
    assert!(driver.capabilities().has(Capability::Quota), "it was asked when the driver was opened");
    let entry = descriptor(Watch::default());
    let survey = (entry.survey)(&request());
    assert!(!survey.usable && survey.reason.contains("panicked"), "{survey:?}");
    assert_eq!((entry.open)(&request()).map_err(|error| error.kind()).err(), Some(Kind::BadPlugin));
    *MOOD.lock() = Mood::Untold;
    let untold = (entry.open)(&request()).map(drop).expect_err("nothing is guessed");
    assert_eq!((untold.kind(), untold.operation()), (Kind::BadPlugin, "capabilities"));
    *MOOD.lock() = Mood::Works;
    assert!((entry.survey)(&request()).usable && driver.status()[0].1 == "value");
}

#[test]
fn errors_come_across_whole() {
    let _alone = ALONE.lock();
    let driver = driver();
    FAILING.store(true, Ordering::Relaxed);
    let expected = errors().swap_remove(1).to_string();
    for (name, error) in all_errors(&*driver) {
        assert_eq!((error.to_string(), error.kind()), (expected.clone(), Kind::Changed), "{name}");
    }
    *MOOD.lock() = Mood::Works;
    for error in errors() {
        let there = (error.to_string(), error.kind(), error.errno(), error.path().map(Path::to_path_buf));
        let mut given = Some(error);
        let back = round_trip(&mut || given.take().map_or(Ok(()), Err)).expect_err("an error");
        assert_eq!((back.to_string(), back.kind(), back.errno(), back.path().map(Path::to_path_buf)), there);
    }
}

/// What `fail` gives on the plugin's side, as the host sees it.
fn round_trip(fail: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    super::host::for_tests(|call| super::export::for_tests(call, fail))
}

#[test]
fn values_come_across_in_both_directions() {
    let _alone = ALONE.lock();
    let driver = driver();
    let entry = descriptor(Watch::default());
    assert_eq!((entry.name, entry.priority, entry.automatic), ("fake", 7, true));
    assert_eq!(entry.origin, Origin::Loaded(Path::new("/fake.so")));
    let survey = (entry.survey)(&request());
    assert_eq!(survey.reason, r#"("/home", Some("/image"), ["/more"], [("key", "value")])"#);
    assert_eq!(survey.capabilities, driver.capabilities());
    assert!(driver.has_kernel_mounts() && driver.parents_may_come_late());
    assert_eq!(driver.whiteouts(), Whiteouts::Overlay { user_xattr: true });
    let (dir, mut key) = (tempfile::tempdir().expect("dir"), ThreadKey::take().expect("key"));
    let locks = ScratchLocks::in_directory(dir.path());
    let (one, task) = (id("one"), Task::new("test"));
    let maps = OwnerMaps { base: plan().maps, ..OwnerMaps::default() };
    let shared = locks.shared(&mut key, |held| {
        assert!(driver.exists(held, &one, Home::Additional(3)).expect("exists"));
        assert!(!driver.exists(held, &one, Home::ImageStore).expect("exists"));
        assert_eq!(driver.list(held, Home::Own).expect("list"), ["one", "two"]);
        assert_eq!(driver.metadata(held, &layer()).expect("metadata")[0].1, format!("{:?}", layer()));
        assert_eq!(driver.write_mark(held, &one, Home::Own).expect("mark").as_deref(), Some("mark"));
        assert_eq!(driver.write_mark(held, &one, Home::ImageStore).expect("mark"), None);
        assert_eq!(driver.examine(held, &layer()).expect("examine"), [flaw()]);
        assert_eq!(driver.recall_parent(held, &one, Home::Own).expect("recall"), Some(id("parent")));
        let staged = driver.begin(held, &plan()).expect("begin");
        assert_eq!((staged.maps(), staged.refusals()), (&plan().maps, Refusals::Ignored));
        assert_eq!(staged.whiteouts(), Whiteouts::Overlay { user_xattr: false });
        driver.compare(held, &layer(), None, &maps).expect("compare")
    });
    let comparison = shared.expect("lock");
    assert_eq!(comparison.size(&task).expect("size"), 1);
    let mut archive = Vec::new();
    comparison.pack(&mut archive, &mut || Ok(()), &task).expect("pack");
    assert_eq!(archive, b"archive");
    let swept = driver.sweep(Instant::now() + Duration::from_mins(1), &task).expect("sweep");
    assert_eq!((swept, task.progress()), (Swept { reclaimed: 1, left: 2 }, Progress { bytes: 3, entries: 4 }));
    let mounting = locks.mounting(&mut key, |held| {
        let options = MountOptions { options: vec!["ro".into(), "nodev".into()], ..MountOptions::default() };
        assert_eq!(driver.mount(held, &layer(), &options).expect("mount"), Path::new("/mounted/ro,nodev"));
        assert!(driver.unmount(held, &one, Home::Own, Extent::Unused).expect("unmount").any());
        assert!(!driver.unmount(held, &one, Home::Own, Extent::One).expect("unmount").any());
        assert_eq!(driver.remove_strays(held.exclusive()).expect("strays"), 5);
    });
    mounting.expect("lock");
}

#[test]
fn what_the_host_fails_with_in_a_callback_comes_back_as_it_was() {
    let _alone = ALONE.lock();
    let driver = driver();
    let (dir, mut key) = (tempfile::tempdir().expect("dir"), ThreadKey::take().expect("key"));
    let locks = ScratchLocks::in_directory(dir.path());
    let comparison = locks.shared(&mut key, |held| driver.compare(held, &layer(), None, &OwnerMaps::default()));
    let (comparison, task) = (comparison.expect("lock").expect("compare"), Task::new("test"));
    let own = || Err(Error::new(Kind::Busy, "callback").detail("mine"));
    let stopped = comparison.changes(&task, &mut |_| own()).expect_err("stopped");
    assert_eq!(stopped.to_string(), own().expect_err("own").to_string());
    let refused = comparison.pack(&mut io::sink(), &mut { own }, &task).expect_err("no end");
    assert_eq!(refused.to_string(), own().expect_err("own").to_string());
    let full = comparison.pack(&mut Full, &mut || Ok(()), &task).expect_err("full");
    assert_eq!((full.kind(), full.errno()), (Kind::NoSpace, Some(libc::ENOSPC)));
    let cancel = Cancel::default();
    cancel.cancel();
    let cancelled = Task::new("the host's work").cancelled_by(cancel);
    let error = comparison.changes(&cancelled, &mut |_| Ok(())).expect_err("cancelled");
    assert_eq!((error.kind(), error.operation()), (Kind::Cancelled, "the host's work"));
    // A panic of this side goes through the plugin, not into it.
    let panic = catch_unwind(AssertUnwindSafe(|| comparison.changes(&task, &mut |_| panic!("the caller's own"))));
    assert_eq!(panic.expect_err("panic").downcast_ref::<&str>(), Some(&"the caller's own"));
    assert!(comparison.check().is_ok());
}

struct Full;

impl Write for Full {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_call_of_which_nothing_is_heard_is_told_of_once_and_by_name() {
    let _alone = ALONE.lock();
    *MOOD.lock() = Mood::Works;
    let told: Arc<Mutex<Vec<Silence>>> = Arc::default();
    let notes = Arc::clone(&told);
    let watch = Watch::telling(Duration::from_millis(100), Arc::new(move |silence| notes.lock().push(*silence)));
    let driver = (descriptor(watch).open)(&request()).expect("open");
    let task = Task::new("test");
    driver.sweep(Instant::now(), &task).expect("sweep");
    let (dir, mut key) = (tempfile::tempdir().expect("dir"), ThreadKey::take().expect("key"));
    let locks = ScratchLocks::in_directory(dir.path());
    let (view, comparison) = locks
        .shared(&mut key, |held| {
            let comparison = driver.compare(held, &layer(), None, &OwnerMaps::default()).expect("compare");
            (driver.view(held, &layer()).expect("view"), comparison)
        })
        .expect("lock");
    let trash = locks.exclusive(&mut key, |held| driver.remove(held, &id("one"), Home::Own).expect("remove"));
    let trash = trash.expect("lock");
    *MOOD.lock() = Mood::Sleeps;
    driver.sweep(Instant::now(), &task).expect("sweep");
    // Nor is a call of which nothing can be said but that it lasts.
    drop(view);
    drop(trash);
    drop(comparison);
    *MOOD.lock() = Mood::Works;
    let told = told.lock();
    let operations = told.iter().map(|each| (each.driver, each.operation)).collect::<Vec<_>>();
    let expected = ["sweep", "view_close", "trash_leave", "comparison_close"];
    assert_eq!(operations, expected.map(|operation| ("fake", operation)));
}
