//! Files of a layer that a power loss emptied.

use storage_core::Kind;
use storage_core::driver::{Driver, MountOptions, Start};
use storage_core::mount::Features;

use crate::harness::{chain, kind, shell_output, with_store};

#[test]
fn an_empty_or_shortened_list_of_lower_layers_is_no_base_layer() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo a >a");
        store.make(&["b", "a"], "echo b >b");
        let c = store.make(&["c", "b", "a"], "echo c >c");
        let file = store.home.join("c/lower");
        let whole = std::fs::read_to_string(&file).unwrap();
        let first = whole.split(':').next().unwrap();
        let last = whole.split(':').next_back().unwrap();
        for text in ["", "\n", ":", first, &format!("{last}:{first}"), &format!("{whole}:{last}")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(kind(store.view(&c)), Some(Kind::Corrupt), "{text:?}");
            assert_eq!(kind(store.mount(&c, &MountOptions::default())), Some(Kind::Corrupt), "{text:?}");
            let told = store.shared(|driver, held| driver.metadata(held, &c));
            assert_eq!(kind(told), Some(Kind::Corrupt), "{text:?}");
            let error = store.begin(Start::OnParent(Some(c.clone()))).map(drop).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{text:?}");
            assert!(error.to_string().contains("layer c"), "{error}");
        }
        // A copy of a template stands on one more that the records don't know.
        std::fs::write(&file, &whole).unwrap();
        let copy = chain(&["c", "a"]);
        store.view(&copy).unwrap();
        // So does what stands on the copy, and a copy of a base has nothing else below it.
        store.make(&["d", "c", "b", "a"], "echo d >d");
        for known in [&["d", "c", "a"][..], &["d", "c", "b"], &["d", "c"], &["d", "b", "a"]] {
            store.view(&chain(known)).unwrap();
        }
        for unknown in [&["d", "a", "c"][..], &["d", "c", "b", "a", "a"], &["d", "e"]] {
            assert!(store.view(&chain(unknown)).is_err(), "{unknown:?}");
        }
        store.view(&c).unwrap();
        drop(store.remove(&c).unwrap());
    });
}

#[test]
fn what_cannot_be_read_is_not_taken_for_lost() {
    with_store(Features::of_kernel(), "", |store| {
        store.make(&["a"], "echo a >a");
        let b = store.make(&["b", "a"], "echo b >b");
        assert!(store.shared(|driver, held| driver.examine(held, &b)).unwrap().is_empty());
        for name in ["link", "lower", "diff"] {
            let (path, away) = (store.home.join("b").join(name), store.home.join("b/away"));
            std::fs::rename(&path, &away).unwrap();
            std::os::unix::fs::symlink(name, &path).unwrap();
            let examined = store.shared(|driver, held| driver.examine(held, &b));
            assert_eq!(kind(examined), Some(Kind::Io), "{name}");
            std::fs::remove_file(&path).unwrap();
            let flaws = store.shared(|driver, held| driver.examine(held, &b)).unwrap();
            assert!(flaws.iter().any(|flaw| flaw.path == path), "{name}: {flaws:?}");
            std::fs::rename(&away, &path).unwrap();
        }
    });
}

#[test]
fn an_empty_short_name_is_as_good_as_none_and_is_made_again() {
    with_store(Features::of_kernel(), "", |store| {
        let a = store.make(&["a"], "echo a >a");
        let b = store.make(&["b", "a"], "");
        let file = store.home.join("a/link");
        let name = std::fs::read_to_string(&file).unwrap();
        for heal in [&a, &b] {
            std::fs::write(&file, "").unwrap();
            store.make(&[&format!("on-{}", heal.id), "a"], "");
            let view = store.view(&b).unwrap();
            assert_eq!(shell_output(&crate::harness::fd_path(view.root()), "cat a"), "a\n");
            store.heal(heal).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), name);
        }
    });
}
