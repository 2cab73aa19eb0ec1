//! What changed, at the cost of what changed.

use std::os::fd::AsRawFd;
use std::path::Path;

use storage_core::archive::{self, Tree};
use storage_core::driver::{Comparison, Driver, Extent, Home, LayerRef, MountOptions, Start};
use storage_core::mount::Features;

use crate::edits::{Random, edits, path_of};
use crate::harness::{Store, chain, id, shell, task};

fn told(comparison: &dyn Comparison) -> Vec<String> {
    let mut changes = Vec::new();
    comparison
        .changes(&task(), &mut |change| {
            changes.push(change.to_string());
            Ok(())
        })
        .unwrap();
    changes
}

/// What a walk over both whole trees finds.
fn walked(store: &mut Store, layer: &LayerRef, base: &LayerRef) -> Vec<String> {
    let (new, old) = (store.view(layer).unwrap(), store.view(base).unwrap());
    let mut changes = Vec::new();
    archive::compare(Tree::plain(new.root()), Some(Tree::plain(old.root())), Path::new("/"), &task(), &mut |change| {
        changes.push(change.to_string());
        Ok(())
    })
    .unwrap();
    changes
}

/// Whether the answer of `zfs diff` was used.
fn used_candidates(comparison: &dyn Comparison) -> bool {
    let text = format!("{comparison:?}");
    assert!(text.contains("candidates"), "{text}");
    text.contains("candidates: OnceLock(Some(")
}

fn check(features: Features, base: &str, script: &str, expected: &[&str]) {
    let mut store = Store::with(features, &[]);
    let a = store.make(&["a"], base);
    let b = store.make(&["b", "a"], script);
    let compared = store.compare(&b, Some(&a)).unwrap();
    assert_eq!(told(&*compared), expected);
    assert!(used_candidates(&*compared), "the trees were walked: {compared:?}");
    assert_eq!(walked(&mut store, &b, &a), expected);
    compared.check().unwrap();
    drop(compared);
    assert_eq!(store.leftovers(), "");
}

const BASE: &str = "mkdir -p d/e gone/x same/deep; echo 1 >d/f; echo 2 >d/e/g; echo 3 >gone/x/y; echo 4 >same/deep/z; \
    echo 5 >'a b'; ln -s f d/l; touch -d @1000000000 d/f d/e/g same/deep/z";
const EDITS: &str = "mv d moved; echo more >>moved/f; rm -r gone; echo new >same/new; chmod 700 same/deep; rm 'a b'; \
    mkdir 'a b'; echo in >'a b/in'; setfattr -n user.k -v v same/deep/z";
const EXPECTED: &[&str] = &[
    "C /a b",
    "A /a b/in",
    "D /d",
    "D /gone",
    "A /moved",
    "A /moved/e",
    "A /moved/e/g",
    "A /moved/f",
    "A /moved/l",
    "C /same",
    "C /same/deep",
    "C /same/deep/z",
    "A /same/new",
];

#[test]
fn every_kind_of_change_is_told() {
    check(Features::of_kernel(), BASE, EDITS, EXPECTED);
}

#[test]
fn the_same_without_detached_mounts() {
    check(Features::NONE, BASE, EDITS, EXPECTED);
}

#[test]
fn nothing_changed_is_nothing() {
    check(Features::of_kernel(), BASE, "", &[]);
}

#[test]
fn a_file_of_several_names_is_told_under_all_of_them() {
    let mut store = Store::new();
    let a = store.make(&["a"], "mkdir x y; echo 1 >x/f; ln x/f y/g; ln x/f y/h; touch -d @1000000000 x/f");
    let b = store.make(&["b", "a"], "echo 2 >>y/g");
    let compared = store.compare(&b, Some(&a)).unwrap();
    assert_eq!(told(&*compared), ["C /x", "C /x/f", "C /y", "C /y/g", "C /y/h"]);
    let c = store.make(&["c", "a"], "rm y/h");
    let compared = store.compare(&c, Some(&a)).unwrap();
    assert_eq!(told(&*compared), walked(&mut store, &c, &a));
}

#[test]
fn what_changed_in_the_parent_after_the_child_was_made_is_told_too() {
    let mut store = Store::new();
    let a = store.make(&["a"], "echo 1 >f; echo 1 >g");
    let b = store.make(&["b", "a"], "echo 2 >f");
    let path = store.mounting(|driver, held| driver.mount(held, &a, &MountOptions::default())).unwrap();
    shell(path, "rm g; echo 3 >h");
    let compared = store.compare(&b, Some(&a)).unwrap();
    assert_eq!(told(&*compared), ["C /f", "A /g", "D /h"]);
    assert!(used_candidates(&*compared));
    let _ = store.mounting(|driver, held| driver.unmount(held, &a.id, Home::Own, Extent::All)).unwrap();
    // A layer that was not made from the other is compared by walking both.
    let c = store.make(&["c"], "echo 3 >h");
    let compared = store.compare(&b, Some(&c)).unwrap();
    assert_eq!(told(&*compared), ["A /f", "A /g", "D /h"]);
    assert_eq!(told(&*store.compare(&b, None).unwrap()), ["A /f", "A /g"]);
}

#[test]
fn it_is_one_moment_though_others_write_mount_and_unmount() {
    let mut store = Store::new();
    let a = store.make(&["a"], "mkdir d; echo 1 >d/f");
    let b = store.make(&["b", "a"], "echo 2 >d/f");
    let path = store.mounting(|driver, held| driver.mount(held, &b, &MountOptions::default())).unwrap();
    let compared = store.compare(&b, Some(&a)).unwrap();
    // The moment is that of the first look: it waits for the pool, which nobody does under a lock.
    assert_eq!(told(&*compared), ["C /d", "C /d/f"]);
    shell(&path, "rm -r d; echo 3 >later");
    let _ = store.mounting(|driver, held| driver.unmount(held, &b.id, Home::Own, Extent::One)).unwrap();
    assert_eq!(told(&*compared), ["C /d", "C /d/f"]);
    store.mounting(|driver, held| driver.mount(held, &b, &MountOptions::default())).unwrap();
    assert_eq!(compared.size(&task()).unwrap(), 2);
    let mut tar = Vec::new();
    compared.pack(&mut tar, &mut || Ok(()), &task()).unwrap();
    let _ = store.mounting(|driver, held| driver.unmount(held, &b.id, Home::Own, Extent::One)).unwrap();
    compared.check().unwrap();
    let trash = store.exclusive(|driver, held| driver.remove(held, &id("b"), Home::Own)).unwrap();
    assert!(compared.check().is_err(), "the layer was removed, and nobody told");
    trash.reclaim(&task()).unwrap();
    drop(compared);
    store.sweep();
    assert_eq!((store.list(), store.leftovers().as_str()), (vec!["a".to_owned()], ""));
}

/// Half of the sequences: extended attributes are kept in files of their own, or with the file.
fn tells_what_a_walk_tells(xattr: &str, seed: u64) {
    let sequences: u64 = std::env::var("LAMINA_ZFS_SEQUENCES").map_or(30, |number| number.parse::<u64>().unwrap() / 2);
    let mut store = Store::new();
    shell("/", &format!("zfs set xattr={xattr} {}", store.root));
    let mut random = Random(seed);
    let first = store.stage(Start::OnParent(None), "").unwrap();
    edits(&path_of(first.root().unwrap().as_raw_fd()), &mut random, 60);
    store.commit(first, "l0").unwrap();
    let (mut base, mut used, mut changed) = (chain(&["l0"]), 0, 0);
    for number in 1..=sequences {
        let seed = random.0;
        let name = format!("l{number}");
        let staged = store.stage(Start::OnParent(Some(base.clone())), "").unwrap();
        let root = staged.root().unwrap();
        edits(&path_of(root.as_raw_fd()), &mut random, 24);
        drop(root);
        store.commit(staged, &name).unwrap();
        let layer = chain(&[&name, base.id.as_str()]);
        let compared = store.compare(&layer, Some(&base)).unwrap();
        let found = told(&*compared);
        assert_eq!(found, walked(&mut store, &layer, &base), "sequence {number} from seed {seed:#x}: {compared:?}");
        used += u64::from(used_candidates(&*compared));
        changed += u64::from(!found.is_empty());
        eprintln!("xattr={xattr}: sequence {number}, {} changes", found.len());
        base = layer;
    }
    let summary =
        format!("xattr={xattr}: {sequences} sequences, {changed} changed something, zfs diff alone told {used}");
    eprintln!("{summary}");
    assert!(used * 3 > sequences, "zfs diff was asked in vain: {used} of {sequences}");
}

#[test]
fn on_random_edits_it_tells_what_a_walk_over_both_trees_tells() {
    tells_what_a_walk_tells("on", 0x9e37_79b9_7f4a_7c15);
}

#[test]
fn on_random_edits_with_attributes_in_place_it_tells_what_a_walk_over_both_trees_tells() {
    tells_what_a_walk_tells("sa", 0x1234_5678_9abc_def1);
}
