//! The life of layers.

use storage_core::archive::Whiteouts;
use storage_core::driver::{Driver, Extent, Home, LayerRef, MountOptions, Start};
use storage_core::{Cancel, Kind, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, all_ways, chain, fd_path, id, kind, shell, with_store};

fn task() -> Task {
    Task::new("test")
}

const TREE: &str = "mkdir -p d/e; echo one >d/f; ln d/f d/g; ln -s f d/l; chown 5:6 d/f; setfattr -n user.k -v v d; \
    truncate -s 1M sparse; chmod 4755 d/f; touch -d @1000000000 d/f d/e d; chmod 0750 .; chown 7:8 .";

#[test]
fn a_child_is_a_copy_of_its_parent_and_they_go_separate_ways() {
    with_store(Ways::of_process(), |store| {
        store.make(&["a"], TREE);
        let b = store.make(&["b", "a"], "");
        let tell = "find . -printf '%p %y %m %U:%G %n %s %b %T@ %l\\n' | sort; getfattr -d d";
        let dir = store.home.join("subvolumes");
        assert_eq!(shell(&dir.join("b"), tell), shell(&dir.join("a"), tell));
        shell(&dir.join("b"), "echo two >d/f");
        assert_eq!(shell(&dir.join("a"), "cat d/f"), "one\n");
        let listed = store.shared(|driver, held| driver.list(held, Home::Own)).unwrap();
        assert_eq!(listed, ["a", "b"]);
        assert!(store.shared(|driver, held| driver.exists(held, &b.id, Home::Own)).unwrap());
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_base_layer_begins_with_the_mode_that_the_reference_gives_it() {
    with_store(Ways::of_process(), |store| {
        let staged = store.stage(Start::OnParent(None), "").unwrap();
        assert_eq!(staged.whiteouts(), Whiteouts::Apply);
        let identity = staged.identity().unwrap();
        store.commit(staged, "a").unwrap();
        assert_eq!(shell(&store.home, "stat -c '%a %u:%g' subvolumes subvolumes/a"), "700 0:0\n555 0:0\n");
        assert_eq!(store.shared(|driver, held| driver.identity(held, &id("a"), Home::Own)).unwrap(), identity);
        let untouched = |store: &mut Store, layer: &LayerRef| {
            store.shared(|driver, held| driver.is_untouched(held, layer)).unwrap()
        };
        assert!(untouched(store, &chain(&["a"])));
    });
}

#[test]
fn a_commit_fails_without_a_trace_when_the_place_is_taken_or_the_parent_is_gone() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "");
        let taken = store.stage(Start::OnParent(None), "").unwrap();
        assert_eq!(kind(store.commit(taken, "a")), Some(Kind::DuplicateId));
        let orphan = store.stage(Start::OnParent(Some(a.clone())), "").unwrap();
        store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap().reclaim(&task()).unwrap();
        store.make(&["a"], "");
        assert_eq!(kind(store.commit(orphan, "b")), Some(Kind::Changed));
        assert!(!store.home.join("subvolumes/b").exists());
        assert_eq!(kind(store.stage(Start::OnParent(Some(chain(&["none"]))), "")), Some(Kind::NotFound));
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_replacement_starts_with_the_content_and_takes_its_place() {
    with_store(Ways::of_process(), |store| {
        store.make(&["a"], TREE);
        let b = store.make(&["b", "a"], "");
        // What is empty in a driver that copies still has what it was copied from.
        let start = Start::Replacing { layer: b.clone(), empty: true };
        let mut staged = store.stage(start.clone(), "cat d/f; echo new >n").unwrap();
        let mut late = store.stage(start, "").unwrap();
        let identity = staged.identity().unwrap();
        let trash = store.exclusive(|_, held| staged.replace(held, &b.id)).unwrap();
        assert_eq!(shell(&store.home.join("subvolumes/b"), "cat n d/f"), "new\none\n");
        assert_eq!(store.shared(|driver, held| driver.identity(held, &b.id, Home::Own)).unwrap(), identity);
        trash.reclaim(&task()).unwrap();
        assert_eq!(kind(store.exclusive(|_, held| late.replace(held, &b.id))), Some(Kind::Changed));
        // The former content was left alone while something was made from it.
        drop((staged, late));
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_view_is_read_only_and_its_trash_waits_for_it() {
    for ways in all_ways() {
        with_store(ways, |store| {
            let a = store.make(&["a"], "echo one >f");
            let view = store.view(&a).unwrap();
            let root = view.root().try_clone_to_owned().unwrap();
            let path = fd_path(&root);
            let refused = std::fs::write(path.join("x"), "x").err().and_then(|error| error.raw_os_error());
            assert_eq!(refused, Some(libc::EROFS));
            view.check().unwrap();
            store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap().reclaim(&task()).unwrap();
            assert_eq!(kind(view.check()), Some(Kind::Changed));
            assert_eq!(shell(&path, "cat f"), "one\n", "trash was deleted below a view");
            drop((view, root));
            assert_eq!(store.leftovers(), 0, "nobody looks at the trash any more");
            assert_eq!(kind(store.view(&a)), Some(Kind::NotFound));
        });
    }
}

#[test]
fn a_deleted_layer_is_gone_as_a_whole_and_its_subvolume_with_it() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "mkdir d; for i in $(seq 200); do echo $i >d/$i; done; chattr +i d/7");
        let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
        assert_eq!(shell(&store.home, "ls tempdirs/temp-dir-*/d | wc -l"), "200\n", "a removal only renames");
        trash.reclaim(&task()).unwrap();
        assert_eq!(store.subvolumes(), 0);
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_layer_that_somebody_made_read_only_is_built_upon_and_deleted() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "echo one >f");
        shell(&store.home, "btrfs property set subvolumes/a ro true");
        let b = store.make(&["b", "a"], "echo two >>f");
        assert_eq!(store.changes(&b, Some(&a)), ["C /f"]);
        for layer in [b, a] {
            store
                .exclusive(|driver, held| driver.remove(held, &layer.id, Home::Own))
                .unwrap()
                .reclaim(&task())
                .unwrap();
        }
        assert_eq!((store.subvolumes(), store.leftovers()), (0, 0));
    });
}

#[test]
fn what_is_mounted_in_a_deleted_layer_is_left_alone() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "mkdir m");
        store.edit(&a, "mount -t tmpfs none m; echo precious >m/f");
        let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
        assert_eq!(kind(trash.reclaim(&task())), Some(Kind::Busy));
        shell(&store.home, "cd tempdirs/temp-dir-*; cat m/f; umount m");
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_layer_that_is_written_to_while_its_replacement_is_made_is_not_replaced() {
    with_store(Ways::of_process(), |store| {
        store.make(&["a"], TREE);
        let b = store.make(&["b", "a"], "");
        // What is written before, and perhaps not on disk yet, is no reason.
        store.edit(&b, "echo early >early; dd if=/dev/zero of=much bs=1M count=8 status=none");
        let start = Start::Replacing { layer: b.clone(), empty: false };
        let mut first = store.stage(start.clone(), "cat early; echo new >n").unwrap();
        let trash = store.exclusive(|_, held| first.replace(held, &b.id)).unwrap();
        trash.reclaim(&task()).unwrap();
        assert_eq!(store.edit(&b, "cat early n"), "early\nnew\n");
        let mut second = store.stage(start, "").unwrap();
        store.edit(&b, "echo late >>n; sync -f .");
        assert_eq!(kind(store.exclusive(|_, held| second.replace(held, &b.id))), Some(Kind::Changed));
        assert_eq!(store.edit(&b, "cat n"), "new\nlate\n");
        drop((first, second));
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn a_childs_own_files_are_known_from_the_first() {
    with_store(Ways::of_process(), |store| {
        let untouched = |store: &mut Store, layer: &LayerRef| {
            store.shared(|driver, held| driver.is_untouched(held, layer)).unwrap()
        };
        store.make(&["a"], TREE);
        // The kernel's clock for this has ticks of some milliseconds.
        shell(&store.home, "sync -f .; sleep 0.02");
        let b = store.make(&["b", "a"], "");
        assert!(untouched(store, &b));
        store.view(&b).unwrap();
        store.compare(&b, Some(&chain(&["a"]))).size(&task()).unwrap();
        shell(&store.home, "sync -f .");
        assert!(untouched(store, &b), "reading is no writing");
        store.edit(&b, "echo more >>d/f; sync -f .");
        assert!(!untouched(store, &b));
        let c = store.make(&["c", "a"], "chmod 700 .");
        assert!(!untouched(store, &c));
    });
}

#[test]
fn a_mount_is_the_directory_itself() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "echo one >f");
        let mut mount = |layer: &LayerRef, options: &MountOptions| {
            store.locks.mounting(&mut store.key, |held| store.driver.mount(held, layer, options)).unwrap()
        };
        let read_only = MountOptions { read_only: true, options: vec!["nodev".into()], ..MountOptions::default() };
        let path = mount(&a, &read_only).unwrap();
        assert_eq!(path, store.driver.mount_point(&a.id, Home::Own).unwrap());
        let special = MountOptions { options: vec!["metacopy=on".into()], ..MountOptions::default() };
        assert_eq!(kind(mount(&a, &special)), Some(Kind::NotSupported));
        assert_eq!(kind(mount(&chain(&["none"]), &read_only)), Some(Kind::NotFound));
        assert!(!store.shared(|driver, held| driver.is_mounted(held, &a.id, Home::Own)).unwrap());
        let detached = store
            .locks
            .mounting(&mut store.key, |held| store.driver.unmount(held, &a.id, Home::Own, Extent::All))
            .unwrap();
        assert!(!detached.unwrap().any());
        assert_eq!(shell(&path, "cat f"), "one\n");
    });
}

#[test]
fn a_copy_can_be_stopped_and_leaves_nothing() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "for i in $(seq 50); do echo x >$i; done");
        let plan = storage_core::driver::Plan::new(Start::OnParent(Some(a)));
        let mut staged = store.shared(|driver, held| driver.begin(held, &plan)).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(kind(staged.fill(&Task::new("copy").cancelled_by(cancel))), Some(Kind::Cancelled));
        drop(staged);
        assert_eq!(store.leftovers(), 0);
    });
}
