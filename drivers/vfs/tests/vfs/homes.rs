//! Layers in several homes: a separate image store, and additional stores.

use storage_core::driver::{Ancestor, Driver, Home, LayerRef, Plan, Request, Start};
use storage_core::mount::{Features, in_private_namespace};
use storage_core::{Kind, Task};

use crate::harness::{Store, fd_path, id, kind, request, shell};

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

#[test]
fn a_child_of_a_layer_in_an_additional_store_is_a_copy_and_nothing_is_changed_there() {
    let dir = tempfile::tempdir().unwrap();
    let add = dir.path().join("add");
    shell(
        dir.path(),
        "mkdir -p add/vfs/dir/a/d; echo one >add/vfs/dir/a/d/f; chown -R 1234 add; ln -s a add/vfs/dir/x",
    );
    in_private_namespace(|| {
        shell(dir.path(), "mount --bind add add; mount -o remount,bind,ro add");
        let given = Request { additional_homes: vec![add.join("vfs")], ..request(dir.path(), &[]) };
        let mut store = Store::with_request(&given, Features::of_kernel());
        let a = placed(&[("a", ADDITIONAL)]);
        let c = placed(&[("c", Home::Own), ("a", ADDITIONAL)]);
        make(&mut store, &c, "cat d/f; echo two >>d/f");
        assert_eq!(shell(&store.home.join("dir/c"), "stat -c %u d/f; cat d/f"), "1234\none\ntwo\n");
        let view = store.view(&a)?;
        shell(dir.path(), "flock -n -x add/vfs/dir/a true");
        view.check()?;
        assert_eq!(store.driver.mount_point(&a.id, a.home).unwrap(), add.join("vfs/dir/a"));
        assert_eq!(kind(store.exclusive(|driver, held| driver.remove(held, &a.id, a.home))), Some(Kind::ReadOnlyStore));
        let into = Plan { home: ADDITIONAL, ..Plan::new(Start::OnParent(None)) };
        assert_eq!(kind(store.shared(|driver, held| driver.begin(held, &into))), Some(Kind::ReadOnlyStore));
        let link = placed(&[("x", ADDITIONAL)]);
        assert!(!store.shared(|driver, held| driver.exists(held, &link.id, link.home))?);
        assert!(store.view(&link).is_err(), "a link in place of a layer was followed");
        Ok(())
    })
    .unwrap();
}

#[test]
fn layers_are_made_and_removed_in_a_separate_image_store() {
    let dir = tempfile::tempdir().unwrap();
    let given = Request { image_home: Some(dir.path().join("img/vfs")), ..request(dir.path(), &[]) };
    let mut store = Store::with_request(&given, Features::of_kernel());
    let a = placed(&[("a", Home::ImageStore)]);
    make(&mut store, &a, "echo one >f");
    make(&mut store, &placed(&[("c", Home::Own), ("a", Home::ImageStore)]), "");
    assert_eq!(shell(dir.path(), "ls vfs/dir img/vfs/dir"), "img/vfs/dir:\na\n\nvfs/dir:\nc\n");
    assert_eq!(store.driver.name_directories(Home::ImageStore).unwrap(), [dir.path().join("img/vfs/dir")]);
    let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, a.home)).unwrap();
    trash.reclaim(&Task::new("reclaim")).unwrap();
    assert_eq!(shell(dir.path(), "ls vfs/dir img/vfs/dir"), "img/vfs/dir:\n\nvfs/dir:\nc\n");
}
