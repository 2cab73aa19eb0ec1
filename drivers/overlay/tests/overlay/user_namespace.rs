//! The driver in a user namespace, as rootless engines run it.

use std::process::Command;

use storage_core::archive::Whiteouts;
use storage_core::driver::{Capability, Driver, Start};
use storage_core::mount::{Features, in_user_namespace};

use crate::harness::{changes, fd_path, shell_output, with_store};

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
