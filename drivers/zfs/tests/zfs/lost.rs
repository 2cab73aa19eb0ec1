//! What processes leave when they die.

use storage_core::Kind;
use storage_core::driver::{Driver, Home, MountOptions};

use crate::harness::{Store, id, kind, shell, task};

#[test]
fn what_nobody_alive_has_is_swept_and_what_somebody_has_is_left() {
    let mut store = Store::new();
    store.make(&["a"], "echo one >f");
    let (root, owned) = (store.root.clone(), store.owned());
    shell(
        "/",
        &format!(
            "zfs create -o mountpoint=legacy {owned} {root}/lamina:1; zfs snapshot {owned} {root}/a@lamina:2; \
             zfs clone -o mountpoint=legacy {owned} {root}/a@lamina:2 {root}/lamina:2; zfs snapshot {root}/a@mine; \
             zfs create -o mountpoint=legacy {owned} {root}/lamina:3; zfs snapshot {owned} {root}/a@lamina:3"
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
    let (root, owned) = (store.root.clone(), store.owned());
    let stop =
        format!("zfs rename {root}/a {root}/lamina:5:was:a; zfs create -o mountpoint=legacy {owned} {root}/lamina:5");
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
    // Who sweeps doesn't know whether the layer has a record, and takes nothing that it may need.
    store.sweep();
    store.exclusive(|driver, held| driver.heal(held, &a)).unwrap();
    assert_eq!(store.read(&a, "cat f"), "one\n");
    assert_eq!(store.leftovers(), "");
}

#[test]
fn a_mount_point_without_a_layer_is_a_stray() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let graph = store.home.join("graph");
    for name in ["a", "gone", "full/of"] {
        std::fs::create_dir_all(graph.join(name)).unwrap();
    }
    let mut found = store.shared(|driver, held| driver.strays(held)).unwrap();
    found.sort();
    assert_eq!(found, [graph.join("full"), graph.join("gone")]);
    assert_eq!(store.exclusive(|driver, held| driver.remove_strays(held)).unwrap(), 1);
    assert!(graph.join("full/of").is_dir() && graph.join("a").is_dir() && !graph.join("gone").exists());
    assert_eq!(store.read(&a, "cat f"), "one\n");
}

#[test]
fn of_two_former_contents_the_younger_comes_back() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let (root, owned) = (store.root.clone(), store.owned());
    // The older one is still there because somebody reads it. Its name comes first.
    shell(
        "/",
        &format!(
            "zfs rename {root}/a {root}/lamina:1:was:a; zfs create -o mountpoint=legacy {owned} {root}/a; \
             mount -t zfs {root}/a /mnt; echo two >/mnt/f; umount /mnt; zfs rename {root}/a {root}/lamina:2:was:a"
        ),
    );
    store.exclusive(|driver, held| driver.heal(held, &a)).unwrap();
    assert_eq!(store.read(&a, "cat f"), "two\n");
    store.sweep();
    assert_eq!(store.leftovers(), "");
}

/// Two stores, and others, keep datasets below one root: nobody takes what another made.
#[test]
fn what_others_have_below_the_same_root_is_theirs() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let root = store.root.clone();
    let own = store.go_on_with(store.neighbour());
    let b = store.make(&["b"], "echo two >f");
    let (theirs, their_home) = (store.owned(), store.home.clone());
    assert_eq!(store.list(), ["b"]);
    let other = store.go_on_with(own);
    let names = ["lamina:7", "lamina:8:was:a", &"c".repeat(64)];
    for name in names {
        shell("/", &format!("zfs create -o mountpoint=legacy {root}/{name}"));
    }
    shell(
        "/",
        &format!("zfs create -o mountpoint=legacy {theirs} {root}/lamina:9; zfs snapshot {theirs} {root}/b@lamina:9"),
    );
    let held = std::fs::File::create(their_home.join("tempdirs/lock-9")).unwrap();
    assert!(storage_core::sys::ofd::try_lock(&held, storage_core::sys::ofd::Mode::Exclusive).unwrap());
    store.sweep();
    assert_eq!(store.list(), ["a"]);
    let trash = store.exclusive(|driver, held| driver.remove(held, &b.id, Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    let there = shell("/", &format!("zfs list -H -d 1 -t all -o name {root} | sed 's,^{root},,'"));
    for name in names.iter().copied().chain(["a", "b", "lamina:9"]) {
        assert!(there.contains(&format!("/{name}\n")), "{name} was taken: {there}");
    }
    let snapshots = shell("/", &format!("zfs list -H -t snapshot -o name {root}/b"));
    assert!(snapshots.contains("@lamina:9"), "a snapshot was taken");
    // What the reference made goes when its record does.
    let foreign = id(&"c".repeat(64));
    let trash = store.exclusive(|driver, held| driver.remove(held, &foreign, Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    assert!(!shell("/", &format!("zfs list -H -o name -r {root}")).contains(foreign.as_str()));
    assert_eq!(store.read(&a, "cat f"), "one\n");
    store.go_on_with(other);
    assert_eq!(store.read(&b, "cat f"), "two\n");
}

#[test]
fn snapshots_that_show_are_no_content() {
    let mut store = Store::new();
    let root = store.root.clone();
    shell("/", &format!("zfs set snapdir=visible {root}"));
    let a = store.make(&["a"], "echo one >f");
    assert_eq!(store.read(&a, "ls -A"), "f\n");
    // As the reference makes layers.
    shell("/", &format!("zfs create -o mountpoint=legacy {root}/b"));
    let b = crate::harness::chain(&["b"]);
    let error = store.view(&b).expect_err("its snapshots show");
    assert!(error.to_string().contains(&format!("zfs set snapdir=hidden {root}/b")), "{error}");
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
