//! What processes leave when they die.

use storage_core::Kind;
use storage_core::driver::{Driver, Home, MountOptions};

use crate::harness::{Store, id, kind, shell, task};

#[test]
fn what_nobody_alive_has_is_swept_and_what_somebody_has_is_left() {
    let mut store = Store::new();
    store.make(&["a"], "echo one >f");
    let root = store.root.clone();
    shell(
        "/",
        &format!(
            "zfs create -o mountpoint=legacy {root}/lamina:1; zfs snapshot {root}/a@lamina:2; \
             zfs clone -o mountpoint=legacy {root}/a@lamina:2 {root}/lamina:2; zfs snapshot {root}/a@mine; \
             zfs create -o mountpoint=legacy {root}/lamina:3; zfs snapshot {root}/a@lamina:3"
        ),
    );
    let tempdirs = store.home.join("tempdirs");
    // A process holds the place of the third, as its maker would.
    let held = std::fs::File::create(tempdirs.join("lock-3")).unwrap();
    assert!(storage_core::sys::ofd::try_lock(&held, storage_core::sys::ofd::Mode::Exclusive).unwrap());
    let swept = store.sweep();
    assert!(swept.left > 0, "{swept:?}");
    let list = format!("zfs list -H -r -t all -o name {root} | sed 's,^{root},,'");
    assert_eq!(shell("/", &list), "\n/a\n/a@mine\n/a@lamina:3\n/lamina:3\n");
    drop(held);
    store.sweep();
    assert_eq!(shell("/", &list), "\n/a\n/a@mine\n");
    assert_eq!(store.list(), ["a"]);
}

#[test]
fn a_replacement_that_stopped_half_way_is_taken_back() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let root = store.root.clone();
    let stop = format!("zfs rename {root}/a {root}/lamina:5:was:a; zfs create -o mountpoint=legacy {root}/lamina:5");
    let undo = format!("zfs list -H -o name {root}/lamina:5 2>/dev/null && zfs destroy {root}/lamina:5 || true");
    shell("/", &stop);
    assert_eq!(kind(store.view(&a)), Some(Kind::NotFound));
    store.exclusive(|driver, held| driver.heal(held, &a)).unwrap();
    assert_eq!(store.read(&a, "cat f"), "one\n");
    shell("/", &(undo.clone() + "; " + &stop));
    let path = store.mounting(|driver, held| driver.mount(held, &a, &MountOptions::default())).unwrap();
    assert_eq!(shell(&path, "cat f"), "one\n");
    let _ = store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, storage_core::driver::Extent::All));
    shell("/", &(undo + "; " + &stop));
    store.sweep();
    assert_eq!(store.read(&a, "cat f"), "one\n");
    assert_eq!(store.leftovers(), "");
}

#[test]
fn a_layer_that_is_removed_after_its_replacement_does_not_come_back() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let view = store.view(&a).unwrap();
    let staged = store.stage(storage_core::driver::Start::Replacing { layer: a.clone(), empty: false }, "echo two >f");
    let mut staged = staged.unwrap();
    let trash = store.exclusive(|_, held| staged.replace(held, &id("a"))).unwrap();
    drop(staged);
    trash.reclaim(&task()).unwrap();
    assert_eq!(kind(view.check()), Some(Kind::Changed));
    assert_eq!(store.read(&a, "cat f"), "two\n");
    let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    store.sweep();
    assert!(store.list().is_empty(), "the former content came back as a layer");
    drop(view);
    store.sweep();
    store.sweep();
    assert_eq!(store.leftovers(), "");
}
