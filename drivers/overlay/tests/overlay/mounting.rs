//! Mounts at `merged`, and their end.

use std::path::Path;

use storage_core::Kind;
use storage_core::driver::{Driver, Extent, Home, MountOptions};
use storage_core::mount::{Features, is_mount_root, mounts_here};

use crate::harness::{Store, chain, kind, shell_in, shell_output, with_store};

fn options(list: &[&str]) -> MountOptions {
    MountOptions { options: list.iter().map(|&option| option.to_owned()).collect(), ..MountOptions::default() }
}

fn super_options(path: &Path) -> String {
    let mounts = mounts_here().unwrap();
    mounts.into_iter().find(|mount| mount.mount_point == path).map(|mount| mount.super_options).unwrap_or_default()
}

#[test]
fn a_mount_takes_changes_and_its_end_keeps_them() {
    for features in [Features::of_kernel(), Features::NONE] {
        with_store(features, "nodev", |store| {
            store.make(&["a"], "echo one >f");
            let b = store.make(&["b", "a"], "");
            assert!(!store.shared(|driver, held| driver.is_mounted(held, &b.id, Home::Own)).unwrap());
            let merged = store.mount(&b, &MountOptions::default()).unwrap();
            assert_eq!(merged, store.home.join("b/merged"));
            assert!(store.shared(|driver, held| driver.is_mounted(held, &b.id, Home::Own)).unwrap());
            shell_in(&merged, "cat f; rm f; echo two >g; mknod n c 1 3; ! cat n 2>/dev/null");
            assert_eq!(kind(store.mount(&b, &MountOptions::default())), Some(Kind::Busy), "mounted twice");
            assert_eq!(kind(store.remove(&b)), Some(Kind::Busy), "a mounted layer was removed");
            let detached = store.unmount(&b, Extent::One).unwrap();
            assert!(detached.any() && !is_mount_root(&merged).unwrap());
            drop(detached);
            assert!(!store.unmount(&b, Extent::All).unwrap().any(), "nothing mounted is no error");
            let whiteout = shell_output(&store.home.join("b/diff"), "stat -c '%F %t:%T' f; cat g");
            assert_eq!(whiteout, "character special file 0:0\ntwo\n");
        });
    }
}

#[test]
fn every_stacked_mount_is_taken_away_when_all_are_meant() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let merged = store.mount(&a, &MountOptions::default()).unwrap();
        shell_in(&merged, "mount --bind . .; cd /; mount --bind \"$0\" \"$0\"");
        assert!(store.unmount(&a, Extent::One).unwrap().any());
        assert!(is_mount_root(&merged).unwrap(), "one means one");
        drop(store.unmount(&a, Extent::All).unwrap());
        assert!(!is_mount_root(&merged).unwrap());
        shell_in(&merged, "mount -t tmpfs none \"$0\"");
        assert_eq!(kind(store.unmount(&a, Extent::All)), Some(Kind::Busy), "a foreign mount was taken away");
        assert!(is_mount_root(&merged).unwrap());
    });
}

#[test]
fn five_hundred_layers_mount_with_and_without_one_by_one_lowers() {
    for features in [Features::of_kernel(), Features::NONE] {
        with_store(features, "", |store| {
            for depth in [130, 500] {
                let top = store.make_deep(&format!("d{depth}-"), depth);
                let merged = store.mount(&top, &MountOptions::default()).unwrap();
                let seen = shell_output(&merged, "ls | wc -l; cat same; rm f3; echo new >new; ls | wc -l");
                assert_eq!(seen, format!("{}\n{}{}\n", depth + 1, depth - 1, depth + 1), "{features:?}");
                drop(store.unmount(&top, Extent::One).unwrap());
            }
        });
    }
}

#[test]
fn the_directory_of_the_process_is_not_changed_by_a_mount() {
    with_store(Features::NONE, "", |store| {
        let a = store.make(&["a"], "");
        let before = std::env::current_dir().unwrap();
        store.mount(&a, &MountOptions::default()).unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
        assert!(super_options(&store.home.join("a/merged")).contains("lowerdir=a/empty"), "short names were not used");
    });
}

#[test]
fn options_reach_the_kernel_and_those_that_change_the_stack_are_refused() {
    for features in [Features::of_kernel(), Features::NONE] {
        with_store(features, "nodev,metacopy=on", |store| {
            store.make(&["a"], "echo one >f");
            let b = store.make(&["b", "a"], "");
            let merged = store.mount(&b, &MountOptions::default()).unwrap();
            assert!(super_options(&merged).contains("metacopy=on"), "the configured options serve");
            drop(store.unmount(&b, Extent::One).unwrap());
            let read_only = MountOptions { read_only: true, ..MountOptions::default() };
            store.mount(&b, &read_only).unwrap();
            let refused = std::fs::write(merged.join("x"), "x").err().and_then(|error| error.raw_os_error());
            assert_eq!(refused, Some(libc::EROFS));
            assert!(!super_options(&merged).contains("upperdir"), "a read-only mount has something to write to");
            drop(store.unmount(&b, Extent::One).unwrap());
            store.mount(&b, &options(&["ro", "metacopy=off"])).unwrap();
            assert!(std::fs::write(merged.join("x"), "x").is_err());
            drop(store.unmount(&b, Extent::One).unwrap());
            assert_eq!(kind(store.mount(&b, &options(&["upperdir=/etc"]))), Some(Kind::Usage));
            assert!(store.mount(&b, &options(&["no-such-option"])).is_err());
            assert!(!is_mount_root(&merged).unwrap(), "a mount that failed left something");
        });
    }
}

#[test]
fn a_volatile_mount_that_was_not_ended_cleanly_can_be_mounted_again() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let volatile = MountOptions { volatile: true, ..MountOptions::default() };
        let merged = store.mount(&a, &volatile).unwrap();
        assert!(super_options(&merged).contains("volatile"));
        drop(store.unmount(&a, Extent::One).unwrap());
        let mark = store.home.join("a/work/work/incompat/volatile");
        assert!(mark.is_dir(), "the kernel marks the work directory of a volatile mount");
        store.mount(&a, &MountOptions::default()).unwrap();
        assert!(!super_options(&merged).contains("volatile"));
    });
}

#[test]
fn what_can_be_derived_is_healed_and_mounts_heal_it() {
    with_store(Features::NONE, "", |store| {
        let a = store.make(&["a"], "echo one >f");
        let b = store.make(&["b", "a"], "");
        let c = store.make(&["c", "b", "a"], "");
        std::fs::remove_dir_all(store.home.join("l")).unwrap();
        std::fs::remove_dir(store.home.join("c/merged")).unwrap();
        std::fs::remove_dir(store.home.join("c/work")).unwrap();
        let merged = store.mount(&c, &MountOptions::default()).unwrap();
        assert_eq!(shell_output(&merged, "ls"), "f\n");
        drop(store.unmount(&c, Extent::One).unwrap());
        // The names that are gone with their files are known to the layers that stand on them.
        let name = std::fs::read_to_string(store.home.join("a/link")).unwrap();
        std::fs::remove_dir_all(store.home.join("l")).unwrap();
        std::fs::remove_file(store.home.join("a/link")).unwrap();
        store.heal(&b).unwrap();
        assert_eq!(std::fs::read_to_string(store.home.join("a/link")).unwrap(), name);
        let target = std::fs::read_link(store.home.join("l").join(&name)).unwrap();
        assert_eq!(target, Path::new("../a/diff"));
        store.heal(&a).unwrap();
        assert_eq!(kind(store.heal(&chain(&["nothing"]))), Some(Kind::NotFound));
        let view = store.view(&c).unwrap();
        view.check().unwrap();
    });
}

#[test]
fn the_label_reaches_the_kernel() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let label = "system_u:object_r:container_file_t:s0:c1,c2".to_owned();
        let mounted = store.mount(&a, &MountOptions { label, ..MountOptions::default() });
        if Path::new("/sys/fs/selinux/enforce").exists() {
            assert!(super_options(&mounted.unwrap()).contains("context="));
        } else {
            let refused = mounted.expect_err("a kernel without labels can't honour one").to_string();
            assert!(refused.contains("context"), "{refused}");
        }
    });
}

#[test]
fn only_a_bind_of_the_home_is_taken_away_and_whatever_is_mounted_there_is_private() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let home = store.home.clone();
        let above = home.parent().unwrap().to_path_buf();
        let mount_and_retire = |store: &mut Store| {
            store.mount(&a, &MountOptions::default()).unwrap();
            assert_eq!(shell_output(&above, "findmnt -no PROPAGATION \"$PWD/overlay\" | tail -n 1"), "private\n");
            drop(store.unmount(&a, Extent::One).unwrap());
            store.mounting(Driver::retire).unwrap().any()
        };
        assert!(mount_and_retire(store), "the bind that mounting made");
        assert!(!is_mount_root(&home).unwrap());
        shell_in(&above, "mount --bind overlay overlay; mount --make-shared overlay");
        assert!(mount_and_retire(store), "the bind that another made");
        shell_in(&above, "cp -a overlay other; mount --bind other overlay; mount --make-shared overlay");
        assert!(!mount_and_retire(store), "another directory is mounted there");
        assert!(is_mount_root(&home).unwrap());
    });
}
