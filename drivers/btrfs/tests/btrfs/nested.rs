//! Subvolumes that somebody made in a layer.

use storage_core::Task;
use storage_core::driver::{Driver, Home};
use storage_driver_btrfs::Ways;

use crate::harness::{fd_path, shell, with_store};

const NESTED: &str = "btrfs -q subvolume create s; mkdir -p s/d; echo one >s/d/f; btrfs -q subvolume create s/d/t; \
    echo two >s/d/t/f; mkdir p; btrfs -q subvolume create p/u; echo three >p/u/f";

#[test]
fn a_child_has_them_as_its_parent_does() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], NESTED);
        let b = store.make(&["b", "a"], "cat s/d/f s/d/t/f p/u/f");
        let tell = "find . -mindepth 1 | sort; stat -c %i s s/d/t p/u";
        assert_eq!(store.edit(&b, tell), store.edit(&a, tell));
        assert_eq!(store.changes(&b, Some(&a)), [""; 0]);
        store.edit(&b, "echo more >>s/d/t/f; rm p/u/f");
        assert_eq!(store.edit(&a, "cat s/d/t/f p/u/f"), "two\nthree\n", "they go separate ways");
        let lines = ["C /p", "C /p/u", "D /p/u/f", "C /s", "C /s/d", "C /s/d/t", "C /s/d/t/f"];
        assert_eq!(store.changes(&b, Some(&a)), lines);
        let view = store.view(&b).unwrap();
        assert_eq!(shell(&fd_path(&view.root().try_clone_to_owned().unwrap()), "cat s/d/t/f"), "two\nmore\n");
    });
}

#[test]
fn they_are_destroyed_with_their_layer_also_where_they_are_read_only() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], NESTED);
        store.edit(&a, "btrfs property set s/d/t ro true; btrfs property set p/u ro true; touch s/immutable; chattr +i s/immutable");
        assert_eq!(store.subvolumes(), 4);
        let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
        trash.reclaim(&Task::new("reclaim")).unwrap();
        assert_eq!((store.subvolumes(), store.leftovers()), (0, 0));
    });
}

#[test]
fn they_are_destroyed_with_a_staging_place_that_is_given_up() {
    with_store(Ways::of_process(), |store| {
        let staged = store.stage(storage_core::driver::Start::OnParent(None), NESTED).unwrap();
        drop(staged);
        assert_eq!((store.subvolumes(), store.leftovers()), (0, 0));
    });
}
