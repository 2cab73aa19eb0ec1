//! Mounts of layers.

use std::path::Path;

use storage_core::Kind;
use storage_core::driver::{Driver, Extent, Home, LayerRef, MountOptions};
use storage_core::mount::Features;

use crate::harness::{Store, id, kind, shell, task, try_shell};

fn mount(store: &mut Store, layer: &LayerRef, options: &MountOptions) -> storage_core::Result<std::path::PathBuf> {
    store.mounting(|driver, held| driver.mount(held, layer, options))
}

fn unmount(store: &mut Store, layer: &LayerRef) -> bool {
    let detached = store.mounting(|driver, held| driver.unmount(held, &layer.id, Home::Own, Extent::One)).unwrap();
    detached.any()
}

fn mounts_and_unmounts(features: Features) {
    let mut store = Store::with(features, &[("mountopt", "nodev,noatime")]);
    let a = store.make(&["a"], "echo one >f");
    let path = mount(&mut store, &a, &MountOptions::default()).unwrap();
    assert_eq!(path, store.home.join("graph/a"));
    assert_eq!(shell(&path, "echo two >>f; findmnt -no SOURCE ."), format!("{}/a\n", store.root));
    let options = shell(&path, "findmnt -no VFS-OPTIONS .");
    assert!(options.contains("nodev") && options.contains("noatime") && options.starts_with("rw"), "{options}");
    assert!(store.shared(|driver, held| driver.is_mounted(held, &a.id, Home::Own)).unwrap());
    assert_eq!(kind(mount(&mut store, &a, &MountOptions::default())), Some(Kind::Busy));
    assert_eq!(kind(store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own))), Some(Kind::Busy));
    assert!(unmount(&mut store, &a) && !unmount(&mut store, &a));
    assert!(!path.exists(), "the mount point goes with the mount");
    let read_only = MountOptions { read_only: true, options: vec!["nosuid".into()], ..MountOptions::default() };
    let path = mount(&mut store, &a, &read_only).unwrap();
    assert_eq!(shell(&path, "cat f"), "one\ntwo\n");
    let (written, _, words) = try_shell(&path, "touch g");
    assert!(!written && words.contains("Read-only"), "{words}");
    let options = shell(&path, "findmnt -no VFS-OPTIONS .");
    assert!(
        options.contains("nosuid") && !options.contains("nodev"),
        "own options replace the configured ones: {options}"
    );
    unmount(&mut store, &a);
}

#[test]
fn a_layer_is_mounted_at_its_place_and_unmounted() {
    mounts_and_unmounts(Features::of_kernel());
}

#[test]
fn the_same_without_detached_mounts() {
    mounts_and_unmounts(Features::NONE);
}

#[test]
fn a_mount_for_reading_keeps_nobody_from_writing() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let read_only = MountOptions { read_only: true, ..MountOptions::default() };
    let dataset = format!("{}/a", store.root);
    mount(&mut store, &a, &read_only).unwrap();
    shell("/", &format!("mkdir -p /run/w; mount -t zfs {dataset} /run/w; touch /run/w/g"));
    assert!(unmount(&mut store, &a));
    mount(&mut store, &a, &read_only).unwrap();
    shell("/", "touch /run/w/h; umount /run/w");
    unmount(&mut store, &a);
    assert_eq!(store.read(&a, "ls"), "f\ng\nh\n");
}

#[test]
fn a_mount_in_use_stays_when_only_unused_ones_are_meant() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let path = mount(&mut store, &a, &MountOptions::default()).unwrap();
    let file = std::fs::File::open(path.join("f")).unwrap();
    let mut release = || store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, Extent::Unused));
    assert_eq!(kind(release()), Some(Kind::Busy));
    assert!(path.join("f").exists());
    drop(file);
    let _ = release().unwrap();
    assert!(!path.exists(), "the mount point goes with the mount");
}

#[test]
fn something_else_at_the_mount_point_is_left_alone() {
    let mut store = Store::new();
    let a = store.make(&["a"], "");
    let place = store.home.join("graph/a");
    shell("/", &format!("mkdir -p {0}; mount -t tmpfs tmpfs {0}", place.display()));
    assert_eq!(kind(mount(&mut store, &a, &MountOptions::default())), Some(Kind::Busy));
    let refused = store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, Extent::All));
    assert_eq!(kind(refused), Some(Kind::Busy));
    shell("/", &format!("umount {}", place.display()));
}

#[test]
fn a_layer_that_is_busy_in_another_namespace_is_removed_when_it_no_longer_is() {
    let mut store = Store::new();
    store.make(&["a"], "echo one >f");
    let dataset = format!("{}/a", store.root);
    let script = format!("mkdir -p /run/b; mount -t zfs {dataset} /run/b; echo ready; read || cat /run/b/f");
    let mut other = std::process::Command::new("unshare")
        .args(["-m", "bash", "-euc", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(other.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    let trash = store.exclusive(|driver, held| driver.remove(held, &id("a"), Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    assert!(store.list().is_empty());
    assert!(store.sweep().left > 0, "it is in use, and told to be");
    drop(other.stdin.take());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert_eq!(line, "ready\none\n", "what is mounted elsewhere stays readable");
    other.wait().unwrap();
    for _ in 0..50 {
        if store.sweep().left == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(store.leftovers(), "");
    assert!(Path::new("/run/b").exists());
}

#[test]
fn a_write_beyond_the_limit_fails_in_that_layer_and_nowhere_else() {
    let mut store = Store::with(Features::of_kernel(), &[("size", "8M")]);
    let a = store.make(&["a"], "");
    let plan = storage_core::driver::Plan {
        options: vec![("size".into(), "32M".into())],
        ..storage_core::driver::Plan::new(storage_core::driver::Start::OnParent(Some(a.clone())))
    };
    let staged = store.begin(&plan).unwrap();
    store.commit(staged, "b").unwrap();
    let b = crate::harness::chain(&["b", "a"]);
    let (one, other) =
        (mount(&mut store, &a, &MountOptions::default()), mount(&mut store, &b, &MountOptions::default()));
    let fill = |dir: &Path| try_shell(dir, "dd if=/dev/urandom of=big bs=1M count=16 conv=fsync status=none");
    let (written, _, words) = fill(&one.unwrap());
    assert!(!written && words.contains("quota exceeded"), "{words}");
    let (written, _, words) = fill(&other.unwrap());
    assert!(written, "another layer was limited too: {words}");
    assert!(unmount(&mut store, &a) && unmount(&mut store, &b));
}
