//! Layers in several homes: a separate image store, and additional stores.

use std::path::Path;

use storage_core::driver::{Ancestor, Driver, Extent, Home, LayerRef, MountOptions, Plan, Request, Start};
use storage_core::ids::LayerId;
use storage_core::mount::Features;
use storage_core::{Kind, Task};

use crate::harness::{
    Store, chain, changes, fd_path, id, kind, listing, request, shell_in, shell_output, with_request, with_store_in,
};

const FIRST: Home = Home::Additional(0);

/// The chain `names`, the topmost first, each with its home.
fn placed(names: &[(&str, Home)]) -> LayerRef {
    let ancestors = names[1..].iter().map(|&(name, home)| Ancestor { id: id(name), home }).collect();
    LayerRef { id: id(names[0].0), home: names[0].1, ancestors }
}

/// A store in `dir/add` with the layers `a` and `b`, which somebody else owns.
fn additional(dir: &Path, features: Features) {
    std::fs::create_dir(dir.join("add")).unwrap();
    with_store_in(&dir.join("add"), features, "", |store| {
        store.make(&["a"], "echo one >f; mkdir d; echo x >d/g");
        store.make(&["b", "a"], "echo two >h");
    });
    shell_in(dir, "chown -R 1234:1234 add; chmod -R go-w add; mkdir add/extra");
}

fn homes(dir: &Path) -> Request {
    Request {
        image_home: Some(dir.join("img/overlay")),
        additional_homes: vec![dir.join("none/overlay"), dir.join("add/overlay")],
        ..request(dir, "")
    }
}

/// The layer of an additional store that stands second.
fn second(names: &[(&str, Home)]) -> LayerRef {
    let second = |home| if home == FIRST { Home::Additional(1) } else { home };
    placed(&names.iter().map(|&(name, home)| (name, second(home))).collect::<Vec<_>>())
}

fn make(store: &mut Store, layer: &LayerRef, script: &str) {
    let plan = Plan { home: layer.home, ..Plan::new(Start::OnParent(layer.parent_ref())) };
    store.make_as(layer, &plan, script);
}

#[test]
fn layers_of_an_additional_store_on_a_read_only_mount_are_shown_and_stood_upon() {
    for features in [Features::of_kernel(), Features::given(true, false), Features::NONE] {
        let dir = tempfile::tempdir().unwrap();
        additional(dir.path(), features);
        let mount = "mount --bind add add; mount -o remount,bind,ro add";
        with_request(dir.path(), features, homes(dir.path()), mount, |store| {
            let b = second(&[("b", FIRST), ("a", FIRST)]);
            assert_eq!(shell_output(&fd_path(store.view(&b).unwrap().root()), "cat f h d/g"), "one\ntwo\nx\n");
            let a = b.parent_ref().unwrap();
            assert_eq!(shell_output(&fd_path(store.view(&a).unwrap().root()), "ls"), "d\nf\n");
            let c = second(&[("c", Home::Own), ("b", FIRST), ("a", FIRST)]);
            make(store, &c, "echo three >i");
            let links = shell_output(dir.path(), "echo l/$(cat add/overlay/b/link):l/$(cat add/overlay/a/link)");
            assert_eq!(std::fs::read_to_string(store.home.join("c/lower")).unwrap(), links.trim_end());
            store.edit(&c, "rm f; echo more >>h; cat d/g");
            assert_eq!(shell_output(&fd_path(store.view(&c).unwrap().root()), "ls; cat h"), "d\nh\ni\ntwo\nmore\n");
            let compared = store.compare(&c, Some(&b)).unwrap();
            assert_eq!(changes(compared.as_ref()), ["D /f", "C /h", "A /i"]);
            compared.check().unwrap();
            let own = store.shared(|driver, held| driver.own_files(held, &b)).unwrap();
            assert_eq!(shell_output(&fd_path(own.root()), "ls"), "h\n");
            let told = store.shared(|driver, held| driver.metadata(held, &c)).unwrap();
            assert!(told[3].1.starts_with(dir.path().join("add/overlay/b/diff").to_str().unwrap()), "{told:?}");
        });
    }
}

#[test]
fn a_layer_that_is_not_of_the_own_home_is_mounted_read_only_in_the_run_root() {
    for features in [Features::of_kernel(), Features::NONE] {
        let dir = tempfile::tempdir().unwrap();
        additional(dir.path(), features);
        with_request(dir.path(), features, homes(dir.path()), "", |store| {
            let image = placed(&[("i", Home::ImageStore)]);
            make(store, &image, "echo one >f");
            let (b, a) = (second(&[("b", FIRST), ("a", FIRST)]), second(&[("a", FIRST)]));
            let before = listing(&dir.path().join("add"));
            for (layer, shown) in [(&b, "d\nf\nh\n"), (&a, "d\nf\n"), (&image, "f\n")] {
                let merged = store.mount(layer, &MountOptions::default()).unwrap();
                assert_eq!(merged, dir.path().join("run").join(layer.id.as_str()).join("merged"));
                assert_eq!(merged, store.driver.mount_point(&layer.id, layer.home).unwrap());
                assert_eq!(shell_output(&merged, "ls"), shown);
                let written = std::fs::write(merged.join("x"), "x");
                assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(libc::EROFS));
                assert!(store.shared(|driver, held| driver.is_mounted(held, &layer.id, layer.home)).unwrap());
                assert!(store.unmount(layer, Extent::One).unwrap().any());
                assert!(!dir.path().join("run").join(layer.id.as_str()).exists(), "the mount point was left behind");
            }
            assert_eq!(listing(&dir.path().join("add")), before);
        });
    }
}

#[test]
fn nothing_is_changed_in_an_additional_store() {
    let dir = tempfile::tempdir().unwrap();
    additional(dir.path(), Features::of_kernel());
    shell_in(dir.path(), "rm -r add/overlay/l/* add/overlay/b/work");
    let before = listing(&dir.path().join("add"));
    with_request(dir.path(), Features::of_kernel(), homes(dir.path()), "", |store| {
        let b = second(&[("b", FIRST), ("a", FIRST)]);
        let c = second(&[("c", Home::Own), ("b", FIRST), ("a", FIRST)]);
        make(store, &c, "");
        store.heal(&b).unwrap();
        store.heal(&c).unwrap();
        store.edit(&c, "cat f; echo x >f");
        assert_eq!(kind(store.remove(&b)), Some(Kind::ReadOnlyStore));
        let replace = Plan::new(Start::Replacing { layer: b.clone(), empty: false });
        assert_eq!(kind(store.begin_as(&replace)), Some(Kind::ReadOnlyStore));
        let into = Plan { home: b.home, ..Plan::new(Start::OnParent(None)) };
        assert_eq!(kind(store.begin_as(&into)), Some(Kind::ReadOnlyStore));
        let view = store.view(&b).unwrap();
        // A lease would keep others from taking the directory for themselves.
        shell_in(dir.path(), "flock -n -x add/overlay/b true; flock -n -x add/overlay/a/diff true");
        view.check().unwrap();
        assert_eq!(kind(store.view(&placed(&[("b", Home::Additional(7))]))), Some(Kind::NotFound));
    });
    assert_eq!(listing(&dir.path().join("add")), before);
}

#[test]
fn layers_are_staged_made_and_removed_in_a_separate_image_store() {
    let dir = tempfile::tempdir().unwrap();
    with_request(dir.path(), Features::of_kernel(), homes(dir.path()), "", |store| {
        let a = placed(&[("a", Home::ImageStore)]);
        make(store, &a, "echo one >f");
        let c = placed(&[("c", Home::Own), ("a", Home::ImageStore)]);
        make(store, &c, "");
        store.edit(&c, "echo more >>f");
        assert_eq!(shell_output(&fd_path(store.view(&c).unwrap().root()), "cat f"), "one\nmore\n");
        let listed = |store: &mut Store, home| store.shared(|driver, held| driver.list(held, home)).unwrap();
        assert_eq!((listed(store, Home::Own), listed(store, Home::ImageStore)), (vec!["c".into()], vec!["a".into()]));
        let exists =
            |store: &mut Store, home| store.shared(|driver, held| driver.exists(held, &id("a"), home)).unwrap();
        assert!(exists(store, Home::ImageStore) && !exists(store, Home::Own));
        let links = |path: &str| std::fs::read_dir(dir.path().join(path)).unwrap().count();
        assert_eq!((links("overlay/l"), links("img/overlay/l")), (1, 1));
        let names = store.driver.name_directories(Home::ImageStore).unwrap();
        assert_eq!(names, ["img/overlay", "img/overlay/l"].map(|path| dir.path().join(path)));
        let replaced = Start::Replacing { layer: a.clone(), empty: false };
        let mut staged = store.begin(replaced).unwrap();
        staged.fill(&Task::new("fill")).unwrap();
        shell_in(&fd_path(std::os::fd::AsFd::as_fd(&staged.root().unwrap())), "cat f; echo new >n");
        drop(store.exclusive(|_, held| staged.replace(held, &a.id)).unwrap());
        assert_eq!(shell_output(&fd_path(store.view(&c).unwrap().root()), "ls"), "f\nn\n");
        std::fs::remove_file(dir.path().join("img/overlay/a/link")).unwrap();
        store.heal(&c).unwrap();
        drop(store.remove(&c).unwrap());
        drop(store.remove(&a).unwrap());
        assert_eq!((links("overlay/l"), links("img/overlay/l")), (0, 0), "a name was left behind");
        assert_eq!(listed(store, Home::ImageStore), Vec::<String>::new());
    });
}

#[test]
fn what_an_additional_store_says_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    additional(dir.path(), Features::of_kernel());
    let b = second(&[("b", FIRST), ("a", FIRST)]);
    let add = dir.path().join("add/overlay");
    with_request(dir.path(), Features::of_kernel(), homes(dir.path()), "", |store| {
        store.make(&["o"], "echo secret >s");
        let own = std::fs::read_to_string(store.home.join("o/link")).unwrap();
        let mut damaged = |how: &str, expected: Kind| {
            shell_in(dir.path(), "rm -rf kept; cp -a add/overlay kept");
            shell_in(&add, how);
            let begun = store.begin(Start::OnParent(Some(b.clone())));
            assert_eq!(kind(begun), Some(expected), "{how}");
            shell_in(dir.path(), "rm -rf add/overlay; cp -a kept add/overlay");
        };
        damaged("mv b c; ln -s c b", Kind::NotFound);
        damaged("rm -r b/diff; ln -s /etc b/diff", Kind::Corrupt);
        damaged("echo l/../../etc >b/lower", Kind::Escape);
        damaged("rm l/$(cat a/link); ln -s /etc/diff l/$(cat a/link); rm a/link", Kind::Escape);
        damaged("echo ../../x >b/link", Kind::Escape);
        damaged("rm b/link; ln -s /etc/hostname b/link", Kind::Io);
        damaged("echo true >.has-mount-program", Kind::NotSupported);
        damaged(&format!("echo {own} >b/link"), Kind::Corrupt);
        let mut hidden = chain(&["c"]);
        hidden.ancestors.clone_from(&b.ancestors);
        assert_eq!(kind(store.view(&hidden)), Some(Kind::NotFound));
        let unchecked = LayerId::for_new("../add").map_err(|error| error.kind());
        assert_eq!(unchecked.err(), Some(Kind::InvalidId));
    });
}
