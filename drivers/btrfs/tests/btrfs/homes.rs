//! Layers in several homes: a separate image store, and additional stores.

use storage_core::driver::{Ancestor, Driver, Home, LayerRef, Plan, Request, Start};
use storage_core::{Kind, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, fd_path, id, kind, request, shell, with_disk};

const ADDITIONAL: Home = Home::Additional(0);

fn placed(names: &[(&str, Home)]) -> LayerRef {
    let ancestors = names[1..].iter().map(|&(name, home)| Ancestor { id: id(name), home }).collect();
    LayerRef { id: id(names[0].0), home: names[0].1, ancestors }
}

fn make(store: &mut Store, layer: &LayerRef, script: &str) {
    let plan = Plan { home: layer.home, ..Plan::new(Start::OnParent(layer.parent_ref())) };
    let mut staged = store.shared(|driver, held| driver.begin(held, &plan)).unwrap();
    staged.fill(&Task::new("fill")).unwrap();
    shell(&fd_path(&staged.root().unwrap()), script);
    store.commit(staged, layer.id.as_str()).unwrap();
}

/// A child in a store of its own of a layer in an additional one, which is on this disk (a subvolume) or on another (a
/// directory).
fn with_additional(prepare: &str) {
    with_disk("1G", |place| {
        let add = place.join("add");
        shell(place, &format!("mkdir -p add/btrfs/subvolumes; {prepare}"));
        shell(&add, "cd btrfs/subvolumes; mkdir a/d; echo one >a/d/f; chown -R 1234 a; ln -s a x");
        shell(place, "mount --rbind add add; mount -o remount,bind,ro add");
        let given = Request { additional_homes: vec![add.join("btrfs")], ..request(place, &[]) };
        let mut store = Store::with_request(&given, Ways::of_process());
        let a = placed(&[("a", ADDITIONAL)]);
        let c = placed(&[("c", Home::Own), ("a", ADDITIONAL)]);
        make(&mut store, &c, "cat d/f; echo two >>d/f");
        assert_eq!(
            shell(&store.home.join("subvolumes/c"), "stat -c '%i %u' . d/f; cat d/f"),
            format!("256 1234\n{} 1234\none\ntwo\n", shell(&store.home.join("subvolumes/c"), "stat -c %i d/f").trim())
        );
        assert_eq!(store.changes(&c, Some(&a)), ["C /d", "C /d/f"]);
        let view = store.view(&a).unwrap();
        shell(place, "flock -n -x add/btrfs/subvolumes/a true");
        view.check().unwrap();
        assert_eq!(store.driver.mount_point(&a.id, a.home).unwrap(), add.join("btrfs/subvolumes/a"));
        assert_eq!(kind(store.exclusive(|driver, held| driver.remove(held, &a.id, a.home))), Some(Kind::ReadOnlyStore));
        let into = Plan { home: ADDITIONAL, ..Plan::new(Start::OnParent(None)) };
        assert_eq!(kind(store.shared(|driver, held| driver.begin(held, &into))), Some(Kind::ReadOnlyStore));
        let link = placed(&[("x", ADDITIONAL)]);
        assert!(!store.shared(|driver, held| driver.exists(held, &link.id, link.home)).unwrap());
        assert!(store.view(&link).is_err(), "a link in place of a layer was followed");
        assert_eq!(store.leftovers(), 0);
        assert_eq!(shell(place, "ls -A add/btrfs"), "subvolumes\n", "nothing was made in the additional store");
    });
}

#[test]
fn a_child_of_a_layer_in_an_additional_store_is_a_snapshot_and_nothing_is_changed_there() {
    with_additional("btrfs -q subvolume create add/btrfs/subvolumes/a");
}

#[test]
fn a_child_of_a_plain_directory_is_a_copy() {
    with_additional("mkdir add/btrfs/subvolumes/a");
}

#[test]
fn a_child_of_a_layer_on_another_filesystem_is_a_copy() {
    with_additional("mount -t tmpfs none add/btrfs; mkdir -p add/btrfs/subvolumes/a");
}

#[test]
fn layers_are_made_and_removed_in_a_separate_image_store() {
    with_disk("1G", |place| {
        let given = Request { image_home: Some(place.join("img/btrfs")), ..request(place, &[]) };
        let mut store = Store::with_request(&given, Ways::of_process());
        let a = placed(&[("a", Home::ImageStore)]);
        make(&mut store, &a, "echo one >f");
        make(&mut store, &placed(&[("c", Home::Own), ("a", Home::ImageStore)]), "");
        let list = "ls btrfs/subvolumes img/btrfs/subvolumes";
        assert_eq!(shell(place, list), "btrfs/subvolumes:\nc\n\nimg/btrfs/subvolumes:\na\n");
        assert_eq!(store.driver.name_directories(Home::ImageStore).unwrap(), [place.join("img/btrfs/subvolumes")]);
        let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, a.home)).unwrap();
        trash.reclaim(&Task::new("reclaim")).unwrap();
        assert_eq!(shell(place, list), "btrfs/subvolumes:\nc\n\nimg/btrfs/subvolumes:\n");
    });
}
