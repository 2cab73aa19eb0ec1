//! Surveys, homes and registration.

use std::path::Path;

use storage_core::driver::{Capability, Driver, Registry};
use storage_core::mount::{Features, in_private_namespace};
use storage_core::{Kind, Result};
use storage_driver_overlay::{DESCRIPTOR, Overlay};

use crate::harness::{kind, request, shell_in, shell_output, with_store};

#[test]
fn the_driver_registers_itself_under_its_name() {
    assert_eq!(Registry::linked().unwrap().get("overlay2").unwrap().name, DESCRIPTOR.name);
}

#[test]
fn a_survey_finds_the_place_usable_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let before = shell_output(dir.path(), "find . | sort");
    let survey = (DESCRIPTOR.survey)(&request(&dir.path().join("root"), ""));
    assert!(survey.usable, "{}", survey.reason);
    assert!(survey.capabilities.has(Capability::Volatile) && survey.capabilities.has(Capability::Metacopy));
    assert_eq!(shell_output(dir.path(), "find . | sort"), before);
    let opened = Overlay::open(&request(&dir.path().join("root"), "")).unwrap();
    assert_eq!(opened.capabilities(), survey.capabilities);
    let before = shell_output(dir.path(), "find . | sort");
    let again = (DESCRIPTOR.survey)(&request(&dir.path().join("root"), ""));
    assert_eq!(again, survey, "what was remembered differs from what was found out");
    assert_eq!(shell_output(dir.path(), "find . | sort"), before);
}

#[test]
fn a_survey_finds_the_same_without_detached_mounts() {
    let dir = tempfile::tempdir().unwrap();
    let with = Overlay::open_with(&request(&dir.path().join("one"), ""), Features::of_kernel()).unwrap();
    let without = Overlay::open_with(&request(&dir.path().join("two"), ""), Features::NONE).unwrap();
    let status = |driver: &Overlay| driver.status();
    assert_eq!(status(&with), status(&without));
    assert!(!without.capabilities().has(Capability::DetachedViews));
    assert!(with.capabilities().has(Capability::DetachedViews));
}

#[test]
fn a_home_that_a_mount_program_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let request = request(dir.path(), "");
    std::fs::create_dir(&request.home).unwrap();
    std::fs::write(request.home.join(".has-mount-program"), "true").unwrap();
    let refused = Overlay::open(&request).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotSupported);
    assert!(refused.to_string().contains("mount program"), "{refused}");
    assert!(!(DESCRIPTOR.survey)(&request).usable);
}

fn on_filesystem(make: &str, test: impl FnOnce(&Path) -> Result<()> + Send) {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().to_path_buf();
    in_private_namespace(|| {
        shell_in(&work, make);
        let result = test(&work.join("m"));
        shell_in(&work, "umount -l m");
        result
    })
    .unwrap();
}

#[test]
fn an_overlay_is_no_place_for_overlays() {
    on_filesystem("mkdir m a b u w; mount -t overlay o -o lowerdir=a:b,upperdir=u,workdir=w m", |place| {
        let survey = (DESCRIPTOR.survey)(&request(place, ""));
        assert!(!survey.usable && survey.reason.contains("not supported over overlayfs"), "{}", survey.reason);
        assert_eq!(kind(Overlay::open(&request(place, ""))), Some(Kind::DriverUnusable));
        Ok(())
    });
}

#[test]
fn a_filesystem_without_types_of_entries_is_refused() {
    let make = "truncate -s 64M img; mkfs.ext4 -q -O ^filetype img; mkdir m; mount -o loop img m";
    on_filesystem(make, |place| {
        let survey = (DESCRIPTOR.survey)(&request(place, ""));
        assert!(!survey.usable && survey.reason.contains("types of directory entries"), "{}", survey.reason);
        assert_eq!(shell_output(place, "ls -A | grep -v lost+found | wc -l"), "0\n");
        Ok(())
    });
}

#[test]
fn copies_share_blocks_on_xfs_and_layers_work_there_and_on_tmpfs() {
    for make in [
        "truncate -s 400M img; mkfs.xfs -q -m reflink=1 img; mkdir m; mount -o loop img m",
        "mkdir m; mount -t tmpfs none m",
    ] {
        on_filesystem(make, |place| {
            let opened = Overlay::open(&request(place, ""))?;
            assert_eq!(opened.capabilities().has(Capability::Reflink), make.contains("xfs"));
            crate::harness::with_store_in(place, Features::of_kernel(), "", |store| {
                store.make(&["a"], "echo one >f");
                let b = store.make(&["b", "a"], "");
                store.edit(&b, "rm f; echo two >g");
                let changes = store.compare(&b, b.parent_ref().as_ref()).unwrap();
                assert_eq!(crate::harness::changes(changes.as_ref()), ["D /f", "A /g"]);
            });
            Ok(())
        });
    }
}

#[test]
fn status_uses_the_words_of_the_reference() {
    with_store(Features::of_kernel(), "metacopy=on", |store| {
        let status = store.driver.status();
        let keys: Vec<_> = status.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "Backing Filesystem",
            "Supports d_type",
            "Native Overlay Diff",
            "Using metacopy",
            "Supports shifting",
            "Supports volatile",
        ];
        assert_eq!(keys, expected);
        assert_eq!(status[3].1, "true");
        let a = store.make(&["a"], "");
        let b = store.make(&["b", "a"], "");
        let places = |store: &mut crate::harness::Store, layer| {
            store.shared(|driver, held| driver.metadata(held, layer)).unwrap()
        };
        assert_eq!(places(store, &a).len(), 3);
        let lower = places(store, &b).pop().unwrap();
        assert_eq!(lower, ("LowerDir".to_owned(), store.home.join("a/diff").display().to_string()));
    });
}
