//! The driver as ordinary users run it: in a user namespace, and without any right.

use std::path::PathBuf;
use std::process::Command;

use storage_core::driver::{Capability, Driver, Home};
use storage_core::mount::in_user_namespace;
use storage_core::{Kind, Task};
use storage_driver_btrfs::{DESCRIPTOR, Ways};

use crate::harness::{Store, fd_path, kind, request, shell, with_disk};

const INNER: &str = "BTRFS_TEST_AS_ORDINARY_USER";

/// Runs a test that is ignored otherwise, as an ordinary user with a directory of its own on a btrfs.
fn as_user(test: &str, wrapper: &[&str]) {
    let exe = std::env::current_exe().unwrap();
    with_disk("1G", |place| {
        std::fs::copy(&exe, place.join("exe")).unwrap();
        shell(place, "chmod 755 . exe; chmod 755 ..; mkdir user; chown 1234:1234 user");
        let output = Command::new("setpriv")
            .args(["--reuid=1234", "--regid=1234", "--clear-groups"])
            .args(wrapper)
            .arg("./exe")
            .args(["--exact", &format!("user_namespace::{test}"), "--ignored", "--test-threads=1"])
            .current_dir(place)
            .env(INNER, place.join("user"))
            .env("TMPDIR", place.join("user"))
            .output()
            .expect("setpriv of util-linux");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        assert_eq!(shell(place, "btrfs subvolume list . | wc -l"), "0\n", "what was made is gone");
    });
}

fn place() -> PathBuf {
    PathBuf::from(std::env::var_os(INNER).expect("this is not the place for it"))
}

#[test]
fn layers_work_in_a_user_namespace() {
    as_user("inside_a_user_namespace", &["unshare", "-Urm"]);
}

#[test]
fn layers_work_for_a_user_without_any_right() {
    as_user("inside_without_any_right", &[]);
}

/// The life of layers without the right to send or to destroy.
fn live(store: &mut Store) {
    assert!(!store.driver.capabilities().has(Capability::ProportionalDiff));
    let a = store.make(&["a"], "chmod 755 .; mkdir d; echo one >d/f; echo two >g");
    let b = store.make(&["b", "a"], "echo three >d/f; rm g");
    assert_eq!(store.changes(&b, Some(&a)), ["C /d", "C /d/f", "D /g"]);
    let sent = store.shared(|driver, held| driver.changes_by_send(held, &b, &a, &Task::new("t")));
    assert_eq!(kind(sent), Some(Kind::NotSupported));
    let view = store.view(&b).unwrap();
    assert_eq!(shell(&fd_path(&view.root().try_clone_to_owned().unwrap()), "cat d/f"), "three\n");
    drop(view);
    for layer in [b, a] {
        let trash = store.exclusive(|driver, held| driver.remove(held, &layer.id, Home::Own)).unwrap();
        trash.reclaim(&Task::new("t")).unwrap();
    }
    assert_eq!(store.leftovers(), 0);
}

#[test]
#[ignore = "run by a test above, in a user namespace"]
fn inside_a_user_namespace() {
    assert!(in_user_namespace());
    live(&mut Store::with_request(&request(&place(), &[]), Ways::of_process()));
    let mut limited = Store::with_request(&request(&place().join("l"), &[("size", "1G")]), Ways::of_process());
    let refused = limited.stage(storage_core::driver::Start::OnParent(None), "");
    assert_eq!(kind(refused), Some(Kind::Permission), "only the first namespace's root limits");
    assert_eq!(limited.leftovers(), 0);
}

#[test]
#[ignore = "run by a test above, as an ordinary user"]
fn inside_without_any_right() {
    assert!(!in_user_namespace());
    live(&mut Store::with_request(&request(&place(), &[]), Ways::of_process()));
    let survey = (DESCRIPTOR.survey)(&request(place().parent().unwrap(), &[]));
    assert!(!survey.usable && survey.reason.contains("can't be written to"), "{}", survey.reason);
}
