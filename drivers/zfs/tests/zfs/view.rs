//! Views: read-only, without a path, in nobody's way.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use storage_core::Kind;
use storage_core::driver::{Driver, Extent, Home, MountOptions};
use storage_core::mount::{Features, mounts_here};

use crate::harness::{Store, kind, shell, task, try_shell};

fn shows_a_layer(features: Features) {
    let mut store = Store::with(features, &[]);
    let a = store.make(&["a"], "mkdir d; echo one >d/f");
    // Other tests mount and unmount theirs meanwhile.
    let root = format!("{}/", store.root);
    let of_store =
        || mounts_here().unwrap().into_iter().filter(|mount| (mount.source.clone() + "/").starts_with(&root));
    let before: Vec<_> = of_store().collect();
    let view = store.view(&a).unwrap();
    assert_eq!(of_store().collect::<Vec<_>>(), before, "a view changed the table of mounts");
    let path = format!("/proc/{}/fd/{}", std::process::id(), view.root().as_raw_fd());
    assert_eq!(shell(&path, "cat d/f"), "one\n");
    let (written, _, words) = try_shell(&path, "touch g");
    assert!(!written && words.contains("Read-only"), "{words}");
    // Others mount it for writing meanwhile, and what they write is seen.
    let mounted = store.mounting(|driver, held| driver.mount(held, &a, &MountOptions::default())).unwrap();
    shell(mounted, "echo two >>d/f");
    let _ = store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, Extent::One)).unwrap();
    assert_eq!(shell(&path, "cat d/f"), "one\ntwo\n");
    view.check().unwrap();
}

#[test]
fn a_view_is_read_only_and_in_nobodys_way() {
    shows_a_layer(Features::of_kernel());
}

#[test]
fn the_same_without_detached_mounts() {
    shows_a_layer(Features::NONE);
}

#[test]
fn a_layer_that_is_being_viewed_is_removed_and_destroyed_later() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let view = store.view(&a).unwrap();
    let (destroyed, _, words) = try_shell("/", &format!("zfs destroy {}/a", store.root));
    assert!(!destroyed && words.contains("busy"), "a peer is told that it is busy: {words}");
    let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    assert_eq!(kind(view.check()), Some(Kind::Changed));
    let path = format!("/proc/{}/fd/{}", std::process::id(), view.root().as_raw_fd());
    assert_eq!(shell(&path, "cat f"), "one\n");
    assert!(store.sweep().left > 0);
    drop(view);
    store.sweep();
    assert_eq!(store.leftovers(), "");
}

// The kernel owns a dataset a moment longer than its last mount is there.
#[test]
fn views_that_end_are_in_no_mounts_way() {
    let features = Features::of_kernel();
    let mut store = Store::with(features, &[]);
    let a = store.make(&["a"], "echo one >f");
    let (root, over) = (store.root.clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut viewer = Store::at(&root, features, &[]);
            while !over.load(Ordering::Relaxed) {
                drop(viewer.view(&a).expect("a view"));
            }
        });
        for round in 0..40 {
            let mounted = store.mounting(|driver, held| driver.mount(held, &a, &MountOptions::default()));
            if mounted.is_err() {
                over.store(true, Ordering::Relaxed);
            }
            std::fs::write(mounted.expect("a mount").join("f"), format!("{round}")).unwrap();
            let _ = store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, Extent::One)).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}
