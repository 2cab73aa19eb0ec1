//! The life of layers.

use storage_core::archive::Whiteouts;
use storage_core::driver::{Driver, Extent, Home, LayerRef, MountOptions, Start};
use storage_core::mount::Features;
use storage_core::{Cancel, Kind, Task};

use crate::harness::{Store, chain, fd_path, id, kind, shell};

fn task() -> Task {
    Task::new("test")
}

const TREE: &str = "mkdir -p d/e; echo one >d/f; ln d/f d/g; ln -s f d/l; chown 5:6 d/f; setfattr -n user.k -v v d; \
    truncate -s 1M sparse; chmod 4755 d/f; touch -d @1000000000 d/f d/e d; chmod 0750 .; chown 7:8 .";

#[test]
fn a_child_is_a_copy_of_its_parent_and_they_go_separate_ways() {
    let mut store = Store::new(Features::of_kernel());
    store.make(&["a"], TREE);
    let b = store.make(&["b", "a"], "");
    let tell = "find . -printf '%p %y %m %U:%G %n %s %b %T@ %l\\n' | sort; getfattr -d d";
    let dir = store.home.join("dir");
    assert_eq!(shell(&dir.join("b"), tell), shell(&dir.join("a"), tell));
    shell(&dir.join("b"), "echo two >d/f");
    assert_eq!(shell(&dir.join("a"), "cat d/f"), "one\n");
    let listed = store.shared(|driver, held| driver.list(held, Home::Own)).unwrap();
    assert_eq!(listed, ["a", "b"]);
    assert!(store.shared(|driver, held| driver.exists(held, &b.id, Home::Own)).unwrap());
    assert_eq!(store.leftovers(), 0);
}

#[test]
fn a_base_layer_begins_with_the_mode_that_the_reference_gives_it() {
    let mut store = Store::new(Features::of_kernel());
    let staged = store.stage(Start::OnParent(None), "").unwrap();
    assert_eq!(staged.whiteouts(), Whiteouts::Apply);
    let identity = staged.identity().unwrap();
    store.commit(staged, "a").unwrap();
    assert_eq!(shell(&store.home, "stat -c '%a %u:%g' dir dir/a"), "700 0:0\n555 0:0\n");
    assert_eq!(store.shared(|driver, held| driver.identity(held, &id("a"), Home::Own)).unwrap(), identity);
    let untouched =
        |store: &mut Store, layer: &LayerRef| store.shared(|driver, held| driver.is_untouched(held, layer)).unwrap();
    assert!(untouched(&mut store, &chain(&["a"])));
    let b = store.make(&["b", "a"], "");
    assert!(!untouched(&mut store, &b), "what is a child's own is not known");
}

#[test]
fn a_commit_fails_without_a_trace_when_the_place_is_taken_or_the_parent_is_gone() {
    let mut store = Store::new(Features::of_kernel());
    let a = store.make(&["a"], "");
    let taken = store.stage(Start::OnParent(None), "").unwrap();
    assert_eq!(kind(store.commit(taken, "a")), Some(Kind::DuplicateId));
    let orphan = store.stage(Start::OnParent(Some(a.clone())), "").unwrap();
    store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap().reclaim(&task()).unwrap();
    store.make(&["a"], "");
    assert_eq!(kind(store.commit(orphan, "b")), Some(Kind::Changed));
    assert!(!store.home.join("dir/b").exists());
    assert_eq!(kind(store.stage(Start::OnParent(Some(chain(&["none"]))), "")), Some(Kind::NotFound));
    assert_eq!(store.leftovers(), 0);
}

#[test]
fn a_replacement_starts_with_the_content_and_takes_its_place() {
    let mut store = Store::new(Features::of_kernel());
    store.make(&["a"], TREE);
    let b = store.make(&["b", "a"], "");
    // What is empty in a driver that copies still has what it was copied from.
    let start = Start::Replacing { layer: b.clone(), empty: true };
    let mut staged = store.stage(start.clone(), "cat d/f; echo new >n").unwrap();
    let mut late = store.stage(start, "").unwrap();
    let identity = staged.identity().unwrap();
    let trash = store.exclusive(|_, held| staged.replace(held, &b.id)).unwrap();
    assert_eq!(shell(&store.home.join("dir/b"), "cat n d/f"), "new\none\n");
    assert_eq!(store.shared(|driver, held| driver.identity(held, &b.id, Home::Own)).unwrap(), identity);
    trash.reclaim(&task()).unwrap();
    assert_eq!(kind(store.exclusive(|_, held| late.replace(held, &b.id))), Some(Kind::Changed));
    // The former content was left alone while something was made from it.
    drop((staged, late));
    assert_eq!(store.leftovers(), 0);
}

#[test]
fn a_view_is_read_only_and_its_trash_waits_for_it() {
    for features in [Features::of_kernel(), Features::NONE] {
        let mut store = Store::new(features);
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
        drop(view);
        assert_eq!(store.leftovers(), 0, "nobody looks at the trash any more");
        assert_eq!(kind(store.view(&a)), Some(Kind::NotFound));
    }
}

#[test]
fn changes_are_those_between_the_trees() {
    let mut store = Store::new(Features::of_kernel());
    let a = store.make(&["a"], TREE);
    let b = store.make(&["b", "a"], "rm d/l; echo more >>d/g; mkdir n; echo x >n/f");
    let told = |store: &mut Store, base: Option<&LayerRef>| {
        let compared = store.compare(&b, base);
        let mut lines = Vec::new();
        let mut each = |change: storage_core::archive::Change| {
            lines.push(change.to_string());
            Ok(())
        };
        compared.changes(&task(), &mut each).unwrap();
        (lines, compared.size(&task()).unwrap())
    };
    let (lines, size) = told(&mut store, Some(&a));
    assert_eq!(lines, ["C /d", "C /d/f", "C /d/g", "D /d/l", "A /n", "A /n/f"]);
    assert_eq!(size, 9 + 2, "an inode with two names counts once");
    assert_eq!(told(&mut store, None).0.len(), 7);
    let compared = store.compare(&b, Some(&a));
    let mut bytes = Vec::new();
    compared.pack(&mut bytes, &mut || compared.check(), &task()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("t"), bytes).unwrap();
    assert_eq!(shell(dir.path(), "tar tf t"), "d/\nd/f\nd/g\nd/.wh.l\nn/\nn/f\n");
}

#[test]
fn a_new_name_of_an_unchanged_file_is_told_with_the_file() {
    let mut store = Store::new(Features::of_kernel());
    let a = store.make(&["a"], "mkdir d; echo one >d/f; echo two >d/g");
    let b = store.make(&["b", "a"], "ln d/f n");
    let mut lines = Vec::new();
    let mut each = |change: storage_core::archive::Change| {
        lines.push(change.to_string());
        Ok(())
    };
    store.compare(&b, Some(&a)).changes(&task(), &mut each).unwrap();
    assert_eq!(lines, ["C /d", "C /d/f", "A /n"]);
}

#[test]
fn a_mount_is_the_directory_itself() {
    let mut store = Store::new(Features::of_kernel());
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
    let detached =
        store.locks.mounting(&mut store.key, |held| store.driver.unmount(held, &a.id, Home::Own, Extent::All)).unwrap();
    assert!(!detached.unwrap().any());
    assert_eq!(shell(&path, "cat f"), "one\n");
}

#[test]
fn a_copy_can_be_stopped_and_leaves_nothing() {
    let mut store = Store::new(Features::of_kernel());
    let a = store.make(&["a"], "for i in $(seq 50); do echo x >$i; done");
    let plan = storage_core::driver::Plan::new(Start::OnParent(Some(a)));
    let mut staged = store.shared(|driver, held| driver.begin(held, &plan)).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    assert_eq!(kind(staged.fill(&Task::new("copy").cancelled_by(cancel))), Some(Kind::Cancelled));
    drop(staged);
    assert_eq!(store.leftovers(), 0);
}
