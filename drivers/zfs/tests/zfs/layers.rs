//! The life of layers.

use std::os::unix::fs::MetadataExt;

use storage_core::Kind;
use storage_core::driver::{Driver, Home, Plan, Start};
use storage_core::idmap::{IdMap, Maps};

use crate::harness::{Store, chain, fd_path, id, kind, shell, task};

#[test]
fn a_child_is_a_clone_of_its_parent_and_they_go_separate_ways() {
    let mut store = Store::new();
    let a = store.make(
        &["a"],
        "stat -c %a . >mode; chmod 0750 .; mkdir d; echo one >d/f; ln d/f d/g; setfattr -n user.k -v v d",
    );
    let b = store.make(&["b", "a"], "echo two >>d/f");
    assert_eq!(store.read(&a, "cat mode d/g; stat -c %a ."), "555\none\n750\n");
    assert_eq!(store.read(&b, "cat d/g; getfattr --only-values -n user.k d"), "one\ntwo\nv");
    assert_eq!(store.list(), ["a", "b"]);
    let (exists, missing, pairs) = store.shared(|driver, held| {
        let there = |name| driver.exists(held, &id(name), Home::Own).unwrap();
        (there("b"), there("c"), driver.metadata(held, &b).unwrap())
    });
    assert!(exists && !missing);
    let dataset = format!("{}/b", store.root);
    assert!(pairs.contains(&("Dataset".to_owned(), dataset.clone())), "{pairs:?}");
    assert_eq!(shell("/", &format!("zfs get -H -o value mountpoint {dataset}")), "legacy\n");
    assert_eq!(store.leftovers(), "");
    assert_eq!(
        shell(&store.home, "ls -A graph 2>/dev/null || true"),
        "",
        "nothing is mounted, so there is no mount point"
    );
}

#[test]
fn owners_are_those_of_the_maps() {
    let mut store = Store::new();
    let a = store.make(&["a"], "touch f; chown 5:6 f");
    let map = vec![IdMap { container_id: 0, host_id: 100_000, size: 1000 }];
    let maps = Maps { uids: map.clone(), gids: map };
    let plan = Plan { maps: maps.clone(), ..Plan::new(Start::OnParent(Some(a))) };
    let staged = store.begin(&plan).unwrap();
    let root = std::fs::metadata(fd_path(&staged.root().unwrap())).unwrap();
    let file = std::fs::metadata(fd_path(&staged.root().unwrap()).join("f")).unwrap();
    assert_eq!((root.uid(), file.uid(), file.gid()), (100_000, 100_005, 100_006));
    let staged = store.begin(&Plan { maps, ..Plan::new(Start::OnParent(None)) }).unwrap();
    assert_eq!(std::fs::metadata(fd_path(&staged.root().unwrap())).unwrap().uid(), 100_000);
}

#[test]
fn a_staged_layer_that_is_dropped_leaves_nothing() {
    let mut store = Store::new();
    let a = store.make(&["a"], "touch f");
    drop(store.stage(Start::OnParent(None), "touch g").unwrap());
    drop(store.stage(Start::OnParent(Some(a)), "touch g").unwrap());
    assert_eq!(store.list(), ["a"]);
    let snapshots = shell("/", &format!("zfs list -H -r -t snapshot {}", store.root));
    assert_eq!((store.leftovers().as_str(), snapshots.as_str()), ("", ""));
}

#[test]
fn a_commit_takes_no_name_that_is_taken_and_no_parent_that_is_another() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let twin = store.stage(Start::OnParent(None), "echo two >f").unwrap();
    assert_eq!(kind(store.commit(twin, "a")), Some(Kind::DuplicateId));
    assert_eq!(store.read(&a, "cat f"), "one\n", "the layer that was there is untouched");
    let child = store.stage(Start::OnParent(Some(a.clone())), "").unwrap();
    let replacement = store.stage(Start::Replacing { layer: a, empty: false }, "echo three >f").unwrap();
    replace(&mut store, replacement, "a");
    assert_eq!(kind(store.commit(child, "b")), Some(Kind::Changed));
    assert_eq!((store.list(), store.sweep().left), (vec!["a".to_owned()], 0));
    assert_eq!(kind(store.stage(Start::OnParent(Some(chain(&["nothing"]))), "")), Some(Kind::NotFound));
    assert_eq!(store.leftovers(), "");
}

fn replace(store: &mut Store, mut staged: Box<dyn storage_core::driver::Staged>, name: &str) {
    let trash = store.exclusive(|_, held| staged.replace(held, &id(name))).unwrap();
    drop(staged);
    trash.reclaim(&task()).unwrap();
}

#[test]
fn a_replacement_keeps_the_limit_and_the_children_and_the_former_content_goes() {
    let mut store = Store::new();
    let plan = Plan { options: vec![("size".into(), "64M".into())], ..Plan::new(Start::OnParent(None)) };
    let staged = store.begin(&plan).unwrap();
    shell(fd_path(&staged.root().unwrap()), "echo one >f");
    store.commit(staged, "a").unwrap();
    let (a, b) = (chain(&["a"]), store.make(&["b", "a"], "echo child >g"));
    for round in ["two", "three"] {
        let before = store.shared(|driver, held| driver.identity(held, &id("a"), Home::Own)).unwrap();
        let staged =
            store.stage(Start::Replacing { layer: a.clone(), empty: false }, &format!("cat f >was; echo {round} >f"));
        let staged = staged.unwrap();
        let identity = staged.identity().unwrap();
        replace(&mut store, staged, "a");
        let after = store.shared(|driver, held| driver.identity(held, &id("a"), Home::Own)).unwrap();
        assert!(after == identity && after != before, "{before} {identity} {after}");
    }
    assert_eq!(store.read(&a, "cat was f"), "two\nthree\n");
    assert_eq!(store.read(&b, "cat f g"), "one\nchild\n");
    assert_eq!(shell("/", &format!("zfs get -Hp -o value quota {}/a", store.root)), "67108864\n");
    assert_eq!((store.sweep().left, store.leftovers().as_str()), (0, ""));
    // Nothing of what they once shared keeps either from being removed.
    for name in ["b", "a"] {
        let trash = store.exclusive(|driver, held| driver.remove(held, &id(name), Home::Own)).unwrap();
        trash.reclaim(&task()).unwrap();
    }
    assert_eq!((store.sweep().left, store.leftovers().as_str()), (0, ""));
    assert_eq!(shell("/", &format!("zfs list -H -r -t all -o name {}", store.root)), format!("{}\n", store.root));
}

#[test]
fn a_removed_layer_is_gone_at_once_and_one_that_is_not_there_is_no_error() {
    let mut store = Store::new();
    let a = store.make(&["a"], "");
    let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
    assert!(store.list().is_empty());
    assert_eq!(kind(store.view(&a)), Some(Kind::NotFound));
    store.make(&["a"], "");
    trash.reclaim(&task()).unwrap();
    assert_eq!(store.list(), ["a"], "the trash of one layer is not the other that has its name");
    let nothing = store.exclusive(|driver, held| driver.remove(held, &id("b"), Home::Own)).unwrap();
    nothing.reclaim(&task()).unwrap();
    assert_eq!(store.leftovers(), "");
}

#[test]
fn a_snapshot_of_somebody_else_s_keeps_children_apart_and_goes_with_its_layer_only() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo one >f");
    let root = store.root.clone();
    // As the reference leaves it when it dies between snapshot and clone, and a clone that is no layer.
    shell(
        "/",
        &format!("zfs snapshot {root}/a@123; zfs snapshot {root}/a@456; zfs clone {root}/a@456 {root}/elsewhere"),
    );
    let trash = store.exclusive(|driver, held| driver.remove(held, &a.id, Home::Own)).unwrap();
    trash.reclaim(&task()).unwrap();
    assert_eq!(shell(format!("/{root}/elsewhere"), "cat f"), "one\n", "a clone of it was destroyed");
    assert!(store.list().is_empty(), "what others made is no layer");
    assert!(store.sweep().left > 0, "what others use is left, and told");
    shell("/", &format!("zfs destroy {root}/elsewhere"));
    store.sweep();
    assert_eq!(shell("/", &format!("zfs list -H -r -t all -o name {root}")), format!("{root}\n"));
}
