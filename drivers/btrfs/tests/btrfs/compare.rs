//! What differs between layers, told by the kernel's stream and by a walk.

use std::os::unix::fs::MetadataExt;

use storage_core::driver::{Driver, Home, LayerRef};
use storage_core::{Cancel, Kind, Task};
use storage_driver_btrfs::Ways;

use crate::harness::{Store, all_ways, kind, shell, with_store};

fn task() -> Task {
    Task::new("test")
}

const TREE: &str = "mkdir -p d/e; echo one >d/f; ln d/f d/g; ln -s f d/l; chown 5:6 d/f; setfattr -n user.k -v v d; \
    truncate -s 1M sparse; chmod 4755 d/f; touch -d @1000000000 d/f d/e d; chmod 0750 .; chown 7:8 .";

/// The changes that a script makes in a child, told every way; they are the same.
fn told(tree: &str, script: &str) -> Vec<String> {
    let mut all: Vec<Vec<String>> = Vec::new();
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], tree);
        let b = store.make(&["b", "a"], script);
        let sent = store.shared(|driver, held| driver.changes_by_send(held, &b, &a, &task())).unwrap();
        all.push(sent.iter().map(ToString::to_string).collect());
        for ways in all_ways() {
            store.reopen(ways);
            all.push(store.changes(&b, Some(&a)));
        }
        assert_eq!(store.leftovers(), 0);
    });
    for other in &all[1..] {
        assert_eq!(other, &all[0], "{script}");
    }
    all.remove(0)
}

#[test]
fn changes_are_those_between_the_trees() {
    let lines = told(TREE, "rm d/l; echo more >>d/g; mkdir n; echo x >n/f");
    assert_eq!(lines, ["C /d", "C /d/f", "C /d/g", "D /d/l", "A /n", "A /n/f"]);
    assert_eq!(told(TREE, "ln d/f n"), ["C /d", "C /d/f", "C /d/g", "A /n"]);
    assert_eq!(told(TREE, "touch d; chmod 700 ."), [""; 0], "times of directories and the root are not told");
}

#[test]
fn moves_are_told_whole() {
    let deep =
        "mkdir -p a/b/c x; echo 1 >a/b/c/f; echo 2 >a/b/g; ln a/b/g x/h; echo 3 >x/k; mkdir -p s/t; echo 4 >s/t/f";
    for (script, lines) in [
        ("mv a z", &["D /a", "A /z", "A /z/b", "A /z/b/c", "A /z/b/c/f", "A /z/b/g"][..]),
        ("mv a/b/c x; mv a/b x/c", &["C /a", "D /a/b", "C /x", "A /x/c", "A /x/c/b", "A /x/c/b/g", "A /x/c/f"]),
        (
            "mv a t; mv x a; mv t x",
            &[
                "C /a",
                "D /a/b",
                "A /a/h",
                "A /a/k",
                "C /x",
                "A /x/b",
                "A /x/b/c",
                "A /x/b/c/f",
                "A /x/b/g",
                "D /x/h",
                "D /x/k",
            ],
        ),
        (
            "mv a/b/c q; rm -r a; mkdir -p a/b; mv q a/b/c; chmod 600 x/h",
            &["C /a", "C /a/b", "D /a/b/g", "C /x", "C /x/h"],
        ),
        ("mv s/t s/u; chmod 600 s/u/f", &["C /s", "D /s/t", "A /s/u", "A /s/u/f"]),
        ("rm -r a; echo file >a", &["C /a", "C /x"]),
        ("rm x/k; mkdir x/k; echo in >x/k/f", &["C /x", "C /x/k", "A /x/k/f"]),
    ] {
        let found = told(deep, script);
        if !(script.starts_with("rm -r a; echo") && found == ["C /a"]) {
            assert_eq!(found, lines, "{script}");
        }
    }
}

#[test]
fn all_names_of_a_file_are_told_with_it() {
    let tree = "mkdir d e; echo 1 >d/f; ln d/f d/g; ln d/f e/h; for i in $(seq 30); do ln d/f e/$i; done";
    let names = 33;
    assert_eq!(told(tree, "chmod 600 e/h").len(), names + 2, "each name and both directories");
    assert_eq!(told(tree, "rm e/7").len(), names + 2);
    assert_eq!(told(tree, "ln d/f n").len(), names + 1 + 2);
    assert_eq!(told(tree, "mv e z; chmod 600 z/h").len(), 1 + 2 + 1 + 32);
    assert_eq!(told(tree, "rm -r e").len(), 1 + 1 + 2, "one directory, and the two names that are left");
}

#[test]
fn an_edit_that_keeps_size_and_time_is_told_by_the_stream() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "echo one >f; ln f g; echo two >h; touch -d @1000000000 f h");
        let b = store.make(&["b", "a"], "echo eno >f; touch -d @1000000000 f; echo two >h; touch -d @1000000000 h");
        assert_eq!(store.changes(&b, Some(&a)), ["C /f", "C /g"]);
    });
}

#[test]
fn files_of_the_same_size_and_time_that_changed_places_are_told() {
    let times = "touch -d @1000000000 f g; touch -d @1000000000 .";
    let tree = format!("echo one >f; echo two >g; {times}");
    assert_eq!(told_by_send(&tree, &format!("mv f t; mv g f; mv t g; {times}")).0, ["C /f", "C /g"]);
    assert_eq!(told_by_send(&tree, &format!("rm f; echo eno >f; {times}")).0, ["C /f"]);
    assert_eq!(told_by_send(&tree, &format!("rm g; cp f g; chmod 600 g; chmod 644 g; {times}")).0, ["C /g"]);
}

#[test]
fn files_that_were_only_read_or_given_attributes_are_not_read() {
    let tree = "for i in 1 2 3; do head -c 1000000 /dev/zero >$i; done; touch -d @1000000000 1 2 3; ln 3 3b";
    let (lines, bytes) = told_by_send(tree, "touch -a -d @1200000000 1 3; setfattr -n trusted.k -v v 1; chown 1 2");
    assert_eq!((lines, bytes), (vec!["C /2".to_owned()], 0));
    // A file that was written to is read once, whatever its names.
    let (lines, bytes) = told_by_send(tree, "printf x >>3; truncate -s -1 3; touch -d @1000000000 3");
    assert_eq!((lines, bytes), (vec![], 1_000_000));
    let change = "printf x | dd of=3 bs=1 seek=999990 conv=notrunc status=none; touch -d @1000000000 3";
    let (lines, bytes) = told_by_send(tree, change);
    assert_eq!(lines, ["C /3", "C /3b"]);
    assert!((1..=1_000_000).contains(&bytes), "{bytes} bytes were read");
}

/// The changes that a script makes in a child, told by the kernel's stream, and how many bytes of files were read for that.
fn told_by_send(tree: &str, script: &str) -> (Vec<String>, u64) {
    let mut found = (Vec::new(), 0);
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], tree);
        let b = store.make(&["b", "a"], script);
        let task = task();
        let sent = store.shared(|driver, held| driver.changes_by_send(held, &b, &a, &task)).unwrap();
        found = (sent.iter().map(ToString::to_string).collect(), task.progress().bytes);
    });
    found
}

#[test]
fn a_file_of_very_many_names_is_walked_for() {
    with_store(Ways::of_process(), |store| {
        let a =
            store.make(&["a"], "echo 1 >f; mkdir d; for i in $(seq 400); do ln f d/a-long-name-for-a-link-$i; done");
        let b = store.make(&["b", "a"], "chmod 600 f");
        let sent = store.shared(|driver, held| driver.changes_by_send(held, &b, &a, &task()));
        assert_eq!(kind(sent), Some(Kind::NotSupported));
        assert_eq!(store.changes(&b, Some(&a)).len(), 402);
    });
}

#[test]
fn what_is_compared_is_one_moment_and_leaves_nothing() {
    for ways in &all_ways()[..2] {
        with_store(*ways, |store| {
            let a = store.make(&["a"], TREE);
            let b = store.make(&["b", "a"], "echo new >n");
            let compared = store.compare(&b, Some(&a));
            assert_eq!(compared.size(&task()).unwrap(), 4);
            store.edit(&b, "echo much more >n");
            assert_eq!(compared.size(&task()).unwrap(), 4, "it was looked at before");
            compared.check().unwrap();
            assert_eq!(store.subvolumes(), 4);
            drop(compared);
            assert_eq!((store.leftovers(), store.subvolumes()), (0, 2));
        });
    }
}

#[test]
fn an_archive_of_changes_is_read_by_tar_and_one_of_all_has_all() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], TREE);
        let b = store.make(&["b", "a"], "rm d/l; echo more >>d/g; mkdir n; echo x >n/f");
        let list = |store: &mut Store, base: Option<&LayerRef>| {
            let compared = store.compare(&b, base);
            let mut bytes = Vec::new();
            compared.pack(&mut bytes, &mut || compared.check(), &task()).unwrap();
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("t"), bytes).unwrap();
            shell(dir.path(), "tar tf t")
        };
        assert_eq!(list(store, Some(&a)), "d/\nd/f\nd/g\nd/.wh.l\nn/\nn/f\n");
        assert_eq!(list(store, None), "d/\nd/e/\nd/f\nd/g\nn/\nn/f\nsparse\n");
        assert_eq!(store.changes(&b, None).len(), 7);
    });
}

#[test]
fn reading_sets_no_access_times() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "mkdir d; echo one >d/f; touch -a -d @1000000000 d/f d");
        let b = store.make(&["b", "a"], "rm d/f");
        let before = std::fs::metadata(store.home.join("subvolumes/a/d/f")).unwrap().atime();
        let mut sink = Vec::new();
        store.compare(&a, None).pack(&mut sink, &mut || Ok(()), &task()).unwrap();
        store.changes(&b, Some(&a));
        assert_eq!(std::fs::metadata(store.home.join("subvolumes/a/d/f")).unwrap().atime(), before);
    });
}

#[test]
fn a_comparison_is_stopped_and_one_of_a_deleted_layer_says_so() {
    with_store(Ways::of_process(), |store| {
        let a = store.make(&["a"], "");
        let b = store.make(&["b", "a"], "for i in $(seq 5000); do : >$i; done");
        let cancel = Cancel::default();
        cancel.cancel();
        let compared = store.compare(&b, Some(&a));
        let stopped = compared.changes(&Task::new("compare").cancelled_by(cancel), &mut |_| Ok(()));
        assert_eq!(kind(stopped), Some(Kind::Cancelled));
        store.exclusive(|driver, held| driver.remove(held, &b.id, Home::Own)).unwrap().reclaim(&task()).unwrap();
        assert_eq!(kind(compared.check()), Some(Kind::Changed));
        drop(compared);
        assert_eq!(store.leftovers(), 0);
    });
}

#[test]
fn without_room_for_a_snapshot_the_layers_themselves_are_compared() {
    crate::harness::with_disk("120M", |place| {
        let mut store = Store::with_request(&crate::harness::request(place, &[]), Ways::of_process());
        let a = store.make(&["a"], "echo one >f");
        let b = store.make(&["b", "a"], "echo two >g");
        shell(
            place,
            "dd if=/dev/zero of=fill bs=64k status=none || true; for i in $(seq 20000); do echo x 2>/dev/null >s$i || break; done",
        );
        assert_eq!(store.changes(&b, Some(&a)), ["A /g"]);
    });
}
