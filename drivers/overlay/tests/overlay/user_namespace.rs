//! The driver in a user namespace, as rootless engines run it.

use std::process::Command;

use storage_core::archive::Whiteouts;
use storage_core::driver::{Capability, Driver, Home, LayerRef, Request, Start};
use storage_core::mount::{Features, in_user_namespace};

use crate::harness::{changes, fd_path, id, request, shell_in, shell_output, with_request, with_store, with_store_in};

const INNER: &str = "OVERLAY_TEST_IN_USER_NAMESPACE";

#[test]
fn layers_work_in_a_user_namespace() {
    let name = "user_namespace::inside_a_user_namespace";
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["-Urm"])
        .arg(exe)
        .args(["--exact", name, "--ignored", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .expect("unshare of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above, in a user namespace"]
fn inside_a_user_namespace() {
    assert!(std::env::var_os(INNER).is_some() && in_user_namespace(), "this is not the place for it");
    for features in [Features::of_kernel(), Features::NONE] {
        with_store(features, "nodev,metacopy=on", |store| {
            let staged = store.begin(Start::OnParent(None)).unwrap();
            assert_eq!(staged.whiteouts(), Whiteouts::Overlay { user_xattr: true });
            drop(staged);
            assert!(!store.driver.capabilities().has(Capability::Metacopy));
            store.make(&["a"], "mkdir d; echo one >d/f; echo two >g");
            let b = store.make(&["b", "a"], "");
            store.edit(&b, "rm -r d; mkdir d; echo three >d/h; rm g");
            let view = store.view(&b).unwrap();
            assert_eq!(shell_output(&fd_path(view.root()), "find . | sort"), ".\n./d\n./d/h\n");
            let compared = store.compare(&b, b.parent_ref().as_ref()).unwrap();
            assert_eq!(changes(compared.as_ref()), ["C /d", "D /d/f", "A /d/h", "D /g"]);
        });
    }
}

#[test]
fn an_ordinary_user_stands_upon_layers_of_an_additional_store_that_root_owns() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("add")).unwrap();
    with_store_in(&dir.path().join("add"), Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo one >f; echo two >g");
    });
    std::fs::copy(std::env::current_exe().unwrap(), dir.path().join("exe")).unwrap();
    shell_in(dir.path(), "chmod 755 . exe; chmod -R a+rX,go-w add; mkdir user; chown 1234:1234 user");
    let output = Command::new("setpriv")
        .args(["--reuid=1234", "--regid=1234", "--clear-groups", "unshare", "-Urm", "./exe"])
        .args(["--exact", "user_namespace::inside_with_an_additional_store", "--ignored", "--test-threads=1"])
        .current_dir(dir.path())
        .env(INNER, dir.path())
        .env("TMPDIR", dir.path().join("user"))
        .output()
        .expect("setpriv of util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above, as an ordinary user in a user namespace"]
fn inside_with_an_additional_store() {
    let dir = std::path::PathBuf::from(std::env::var_os(INNER).expect("this is not the place for it"));
    let add = dir.join("add");
    let user = dir.join("user");
    let given = Request { additional_homes: vec![add.join("overlay")], ..request(&user, "") };
    let mount = "mount --bind ../add ../add; mount -o remount,bind,ro ../add";
    with_request(&user, Features::of_kernel(), given, mount, |store| {
        let a = LayerRef { id: id("a"), home: Home::Additional(0), ancestors: Vec::new() };
        assert_eq!(shell_output(&fd_path(store.view(&a).unwrap().root()), "cat f g"), "one\ntwo\n");
        let mut c = LayerRef::own(id("c"), [id("a")]);
        c.ancestors[0].home = a.home;
        let staged = store.begin(Start::OnParent(Some(a.clone()))).unwrap();
        store.commit(staged, "c").unwrap();
        store.edit(&c, "rm g; echo new >h");
        let compared = store.compare(&c, Some(&a)).unwrap();
        assert_eq!(changes(compared.as_ref()), ["D /g", "A /h"]);
    });
}
