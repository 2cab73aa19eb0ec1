//! Staging, commit, replacement and trash.

use storage_core::Kind;
use storage_core::archive::Whiteouts;
use storage_core::driver::{Driver, Extent, Home, MountOptions, RootFrom, Start};
use storage_core::mount::Features;
use storage_core::{Cancel, Task};

use crate::harness::{Store, chain, changes, fd_path, id, is_clean, kind, shell_in, shell_output, with_store};

fn task() -> Task {
    Task::new("test")
}

#[test]
fn a_layer_is_laid_out_as_the_reference_lays_it_out() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["a"], "chmod 0711 .; chown 7:8 .");
        store.make(&["b", "a"], "");
        let tree = shell_output(
            &store.home,
            "find a b l .has-mount-program -printf '%p %y %m %U:%G %s\\n' | sed -E 's/ [0-9]+$/ &/; s/[A-Z2-7]{26}/LINK/; / d /s/[0-9]+$//' | sort",
        );
        let expected = ".has-mount-program f 600 0:0  5\na d 700 0:0  \na/diff d 711 7:8  \na/empty d 700 0:0  \n\
                        a/link f 644 0:0  26\na/merged d 700 0:0  \na/work d 700 0:0  \nb d 700 0:0  \nb/diff d 711 7:8  \n\
                        b/link f 644 0:0  26\nb/lower f 644 0:0  28\nb/merged d 700 0:0  \nb/work d 700 0:0  \nl d 755 0:0  \n";
        assert_eq!(tree.lines().filter(|line| !line.starts_with("l/")).collect::<Vec<_>>().join("\n") + "\n", expected);
        let link = |name: &str| std::fs::read_to_string(store.home.join(name)).unwrap();
        assert_eq!(link("b/lower"), format!("l/{}", link("a/link")));
        for name in ["a", "b"] {
            let target = std::fs::read_link(store.home.join("l").join(link(&format!("{name}/link")))).unwrap();
            assert_eq!(target.to_str(), Some(format!("../{name}/diff").as_str()));
        }
        assert!(is_clean(store));
        let listed = store.shared(|driver, held| driver.list(held, Home::Own)).unwrap();
        assert_eq!(listed, ["a", "b"]);
    });
}

#[test]
fn a_layer_that_learns_its_parent_late_is_as_one_that_knew_it() {
    with_store(Features::of_kernel(), "", |store| {
        let parent = store.make(&["a"], "chmod 0711 .; chown 7:8 .");
        for (name, root, expected) in [
            ("b", RootFrom::Parent, "b d 700 0:0\nb/diff d 711 7:8\n"),
            ("c", RootFrom::Archive, "c d 700 0:0\nc/diff d 555 0:0\n"),
        ] {
            let mut staged = store.begin(Start::OnParent(None)).unwrap();
            staged.fill(&task()).unwrap();
            store.shared(|_, held| staged.settle(held, &parent, root)).unwrap();
            store.commit(staged, name).unwrap();
            let tree = shell_output(&store.home, &format!("find {name} -printf '%p %y %m %U:%G\\n' | sort"));
            let rest = ["link f 644 0:0", "lower f 644 0:0", "merged d 700 0:0", "work d 700 0:0"];
            assert_eq!(tree, format!("{expected}{}", rest.map(|part| format!("{name}/{part}\n")).concat()));
            let link = std::fs::read_to_string(store.home.join("a/link")).unwrap();
            assert_eq!(std::fs::read_to_string(store.home.join(name).join("lower")).unwrap(), format!("l/{link}"));
        }
        let mut orphan = store.begin(Start::OnParent(None)).unwrap();
        store.shared(|_, held| orphan.settle(held, &parent, RootFrom::Parent)).unwrap();
        store.remove(&parent).unwrap().reclaim(&task()).unwrap();
        store.make(&["a"], "");
        assert_eq!(kind(store.commit(orphan, "d")), Some(Kind::Changed), "the parent is pinned from then on");
    });
}

#[test]
fn the_identity_is_known_before_the_commit_and_stays() {
    with_store(Features::of_kernel(), "", |store| {
        let staged = store.begin(Start::OnParent(None)).unwrap();
        assert_eq!(staged.whiteouts(), Whiteouts::Overlay { user_xattr: false });
        let identity = staged.identity().unwrap();
        store.commit(staged, "a").unwrap();
        assert_eq!(store.shared(|driver, held| driver.identity(held, &id("a"), Home::Own)).unwrap(), identity);
        assert!(store.shared(|driver, held| driver.exists(held, &id("a"), Home::Own)).unwrap());
    });
}

#[test]
fn a_commit_fails_without_a_trace_when_the_place_is_taken_or_the_parent_is_gone() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let taken = store.begin(Start::OnParent(None)).unwrap();
        assert_eq!(kind(store.commit(taken, "a")), Some(Kind::DuplicateId));
        let orphan = store.begin(Start::OnParent(Some(a.clone()))).unwrap();
        store.remove(&a).unwrap().reclaim(&task()).unwrap();
        store.make(&["a"], "");
        assert_eq!(kind(store.commit(orphan, "b")), Some(Kind::Changed), "the parent is another directory");
        assert!(!store.home.join("b").exists());
        assert_eq!(shell_output(&store.home.join("l"), "ls | wc -l"), "1\n", "a failed commit left a short name");
        assert_eq!(kind(store.begin(Start::OnParent(Some(chain(&["none"]))))), Some(Kind::NotFound));
        assert!(is_clean(store));
    });
}

#[test]
fn removal_is_one_rename_and_the_short_name_goes_first() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "mkdir -p d/e; echo x >d/e/f; chattr +i d/e/f");
        let trash = store.remove(&a).unwrap();
        assert!(!store.home.join("a").exists());
        assert_eq!(shell_output(&store.home.join("l"), "ls"), "");
        trash.reclaim(&task()).unwrap();
        assert_eq!(std::fs::read_dir(store.home.join("tempdirs")).unwrap().count(), 0);
        store.remove(&a).unwrap().reclaim(&task()).expect("a layer without a place is no error");
    });
}

fn replace(store: &mut Store, name: &str, empty: bool, script: &str) {
    let layer = chain(&[name]);
    let mut staged = store.begin(Start::Replacing { layer, empty }).unwrap();
    staged.fill(&task()).unwrap();
    shell_in(&fd_path(std::os::fd::AsFd::as_fd(&staged.root().unwrap())), script);
    let identity = staged.identity().unwrap();
    let trash = store.exclusive(|_, held| staged.replace(held, &id(name))).unwrap();
    assert_eq!(store.shared(|driver, held| driver.identity(held, &id(name), Home::Own)).unwrap(), identity);
    trash.reclaim(&task()).unwrap();
}

#[test]
fn a_replacement_takes_the_place_of_the_content_and_keeps_name_owner_and_mode() {
    with_store(Features::of_kernel(), "index=on", |store| {
        let a = store.make(&["a"], "");
        let untouched =
            |store: &mut Store| store.shared(|driver, held| driver.is_untouched(held, &chain(&["a"]))).unwrap();
        assert!(untouched(store));
        let link = std::fs::read_to_string(store.home.join("a/link")).unwrap();
        replace(store, "a", true, "echo one >f; chown 3:4 .; chmod 0750 .");
        assert!(!untouched(store));
        store.edit(&a, "echo two >g");
        replace(store, "a", false, "cat f g; rm f; echo three >h");
        let diff = store.home.join("a/diff");
        assert_eq!(shell_output(&diff, "ls; stat -c '%u:%g %a' ."), "g\nh\n3:4 750\n");
        assert_eq!(std::fs::read_to_string(store.home.join("a/link")).unwrap(), link);
        assert!(is_clean(store));
        // With an index, the kernel would refuse a work directory that knows other changes.
        store.edit(&a, "cat g h");
    });
}

#[test]
fn a_mounted_or_changed_layer_is_not_replaced() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "echo one >f");
        let start = Start::Replacing { layer: a.clone(), empty: true };
        let mut staged = store.begin(start.clone()).unwrap();
        store.mount(&a, &MountOptions::default()).unwrap();
        assert_eq!(kind(store.exclusive(|_, held| staged.replace(held, &a.id))), Some(Kind::Busy));
        drop(store.unmount(&a, Extent::All).unwrap());
        drop(staged);
        let mut late = store.begin(start).unwrap();
        replace(store, "a", false, "echo two >f");
        assert_eq!(kind(store.exclusive(|_, held| late.replace(held, &a.id))), Some(Kind::Changed));
        drop(late);
        assert_eq!(shell_output(&store.home.join("a/diff"), "cat f"), "two\n");
        assert!(is_clean(store));
    });
}

#[test]
fn replaced_content_waits_for_its_view() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "echo one >f");
        let view = store.view(&a).unwrap();
        replace(store, "a", true, "echo two >f");
        assert_eq!(shell_output(&fd_path(view.root()), "cat f"), "one\n", "replaced content was deleted below a view");
        assert_eq!(kind(view.check()), Some(Kind::Changed));
    });
}

#[test]
fn a_copy_for_a_replacement_can_be_stopped_and_leaves_nothing() {
    with_store(Features::of_kernel(), "", |store| {
        let layer = store.make(&["a"], "for i in $(seq 50); do echo x >f$i; done");
        let mut staged = store.begin(Start::Replacing { layer, empty: false }).unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(kind(staged.fill(&Task::new("copy").cancelled_by(cancel))), Some(Kind::Cancelled));
        drop(staged);
        assert!(is_clean(store));
    });
}

#[test]
fn options_of_a_layer_that_can_not_be_honoured_are_refused() {
    with_store(Features::of_kernel(), "", |store| {
        let mut plan = storage_core::driver::Plan::new(Start::OnParent(None));
        plan.options = vec![("size".into(), "10G".into())];
        assert_eq!(kind(store.shared(|driver, held| driver.begin(held, &plan))), Some(Kind::NotSupported));
        plan.options = vec![("nonsense".into(), "1".into())];
        assert_eq!(kind(store.shared(|driver, held| driver.begin(held, &plan))), Some(Kind::Usage));
        assert!(!store.home.join("tempdirs").exists() || is_clean(store));
    });
}

#[test]
fn a_chain_deeper_than_the_kernel_stacks_is_refused_when_it_is_begun() {
    with_store(Features::of_kernel(), "", |store| {
        let deepest = store.make_deep("l", 500);
        let below = deepest.parent_ref();
        store.view(&deepest).unwrap().check().unwrap();
        let told = changes(store.compare(&deepest, below.as_ref()).unwrap().as_ref());
        assert_eq!(told, ["A /f499", "C /same"]);
        let read_only = MountOptions { read_only: true, ..MountOptions::default() };
        let merged = store.mount(&deepest, &read_only).unwrap();
        assert_eq!(shell_output(&merged, "cat same; ls | wc -l"), "499501\n");
        drop(store.unmount(&deepest, Extent::One).unwrap());
        let refused = store.begin(Start::OnParent(Some(deepest))).map(drop).unwrap_err();
        assert_eq!(refused.kind(), Kind::NotSupported);
        assert!(refused.to_string().contains("max depth exceeded"), "{refused}");
    });
}
