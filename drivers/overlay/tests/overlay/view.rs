//! Views: what they show, and what they leave alone.

use storage_core::Kind;
use storage_core::driver::{Ancestor, Driver, Extent, Home, MountOptions};
use storage_core::mount::{Features, mounts_here};

use crate::harness::{chain, fd_path, id, is_clean, kind, listing, shell_output, with_store};

const EVERY_WAY: [Features; 3] =
    [Features::given(true, true), Features::given(true, false), Features::given(false, false)];

#[test]
fn a_view_shows_what_a_mount_shows_and_leaves_no_trace() {
    for features in EVERY_WAY {
        with_store(features, "metacopy=on,redirect_dir=on", |store| {
            store.make(&["a"], "mkdir -p d/e gone; echo one >d/f; echo two >gone/x; echo three >plain");
            let b = store.make(&["b", "a"], "");
            store.edit(&b, "rm -r gone; mv d moved; chmod 600 plain; mkdir gone; echo new >gone/y");
            let c = store.make(&["c", "b", "a"], "echo top >top");
            let merged = store.mount(&c, &MountOptions::default()).unwrap();
            let mounted = listing(&merged);
            drop(store.unmount(&c, Extent::One).unwrap());
            let before = mounts_here().unwrap();
            let view = store.view(&c).unwrap();
            assert_eq!(listing(&fd_path(view.root())), mounted, "{features:?}");
            assert_eq!(mounts_here().unwrap(), before, "a view changed the mount table");
            assert!(mounted.contains("./moved/f") && mounted.contains("./gone/y") && !mounted.contains("gone/x"));
            view.check().unwrap();
            let written = std::fs::write(fd_path(view.root()).join("x"), "x");
            assert_eq!(written.err().and_then(|error| error.raw_os_error()), Some(libc::EROFS));
        });
    }
}

#[test]
fn a_base_layer_has_a_view_even_when_its_empty_directory_is_lost() {
    for features in EVERY_WAY {
        with_store(features, "", |store| {
            let a = store.make(&["a"], "echo one >f");
            for lost in [false, true] {
                if lost {
                    std::fs::remove_dir(store.home.join("a/empty")).unwrap();
                }
                let view = store.view(&a).unwrap();
                assert_eq!(shell_output(&fd_path(view.root()), "cat f; ls"), "one\nf\n");
                view.check().unwrap();
            }
            assert_eq!(std::fs::read_dir(store.home.join("tempdirs")).unwrap().count(), 0, "staging was left behind");
        });
    }
}

#[test]
fn a_chain_of_five_hundred_has_a_view_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    for (index, features) in EVERY_WAY.into_iter().enumerate() {
        crate::harness::with_store_in(dir.path(), features, "", |store| {
            let top = if index == 0 {
                store.make_deep("l", 500)
            } else {
                chain(
                    &(0..500)
                        .rev()
                        .map(|i| format!("l{i}"))
                        .collect::<Vec<_>>()
                        .iter()
                        .map(String::as_str)
                        .collect::<Vec<_>>(),
                )
            };
            let view = store.view(&top).unwrap();
            let seen = shell_output(&fd_path(view.root()), "ls | wc -l; cat same");
            assert_eq!(seen, "501\n499", "{features:?}");
            if index == 0 {
                std::fs::remove_dir_all(store.home.join("l")).unwrap();
                assert!(store.view(&top).is_ok(), "a view depends on l/");
                let mut deeper = top.clone();
                deeper.ancestors.insert(0, Ancestor { id: deeper.id.clone(), home: Home::Own });
                deeper.id = id("l500");
                assert_eq!(kind(store.view(&deeper)), Some(Kind::NotFound));
                store.heal(&top).unwrap();
            }
        });
    }
}

#[test]
fn a_view_notices_that_a_layer_below_was_removed_and_its_trash_waits_for_it() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "echo one >f");
        let b = store.make(&["b", "a"], "");
        let view = store.view(&b).unwrap();
        view.check().unwrap();
        let trash = store.remove(&a).unwrap();
        assert_eq!(kind(view.check()), Some(Kind::Changed));
        trash.reclaim(&storage_core::Task::new("t")).unwrap();
        assert_eq!(shell_output(&fd_path(view.root()), "cat f"), "one\n", "trash was deleted below a view");
        drop(view);
        // The path of the last assertion keeps a descriptor of the mount open, but no hold.
        assert!(is_clean(store), "nobody looks at the trash any more");
        assert_eq!(kind(store.view(&b)), Some(Kind::NotFound));
    });
}

#[test]
fn own_files_stand_under_their_own_names() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo one >f");
        let b = store.make(&["b", "a"], "echo two >g");
        let own = store.shared(|driver, held| driver.own_files(held, &b)).unwrap();
        assert_eq!(shell_output(&fd_path(own.root()), "ls"), "g\n");
        std::fs::create_dir(store.home.join("b/diff1")).unwrap();
        std::fs::write(store.home.join("b/diff1/h"), "x").unwrap();
        let own = store.shared(|driver, held| driver.own_files(held, &b)).unwrap();
        assert_eq!(shell_output(&fd_path(own.root()), "ls"), "g\nh\n", "earlier changes of the layer are its own too");
        let view = store.view(&b).unwrap();
        assert_eq!(shell_output(&fd_path(view.root()), "ls"), "f\ng\nh\n");
    });
}

#[test]
fn a_layer_made_from_a_template_stands_on_it() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo one >f");
        store.make(&["template", "a"], "echo two >g");
        store.make(&["copy", "template", "a"], "");
        // Its record has the template's parent as its parent.
        let copy = chain(&["copy", "a"]);
        let view = store.view(&copy).unwrap();
        assert_eq!(shell_output(&fd_path(view.root()), "ls"), "f\ng\n");
        let base = chain(&["a"]);
        let compared = store.compare(&copy, Some(&base)).unwrap();
        assert_eq!(crate::harness::changes(compared.as_ref()), ["A /g"]);
    });
}

#[test]
fn hostile_links_and_foreign_layers_are_refused_by_name() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "");
        let link = std::fs::read_to_string(store.home.join("a/link")).unwrap();
        store.make(&["x", "a"], "");
        let x = chain(&["x"]);
        let path = store.home.join("l").join(link);
        for target in ["/etc", "../../etc/diff", "../a/diff/..", "../.hidden/diff"] {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert_eq!(kind(store.view(&x)), Some(Kind::Escape), "{target}");
        }
        for foreign in ["composefs-data", "additionallayer"] {
            std::fs::create_dir(store.home.join("a").join(foreign)).unwrap();
            let refused = store.view(&a).unwrap_err();
            assert_eq!(refused.kind(), Kind::NotSupported);
            assert!(refused.to_string().contains("layer a is"), "{refused}");
            std::fs::remove_dir(store.home.join("a").join(foreign)).unwrap();
        }
        std::fs::remove_dir(store.home.join("a/diff")).unwrap();
        std::os::unix::fs::symlink("/etc", store.home.join("a/diff")).unwrap();
        assert_eq!(kind(store.view(&a)), Some(Kind::Corrupt), "a link in place of the changes was followed");
    });
}

#[test]
fn too_few_descriptors_for_a_chain_are_named_as_the_cause() {
    let output = std::process::Command::new("bash")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact view::with_few_descriptors --ignored --test-threads=1"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above, with a low limit"]
fn with_few_descriptors() {
    with_store(Features::of_kernel(), "", |store| {
        let top = store.make_deep("few", 100);
        let refused = store.view(&top).unwrap_err();
        assert_eq!(refused.errno(), Some(libc::EMFILE));
        assert!(refused.to_string().contains("RLIMIT_NOFILE"), "{refused}");
    });
}
