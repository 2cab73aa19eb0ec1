//! The exchange of a layer's content.

use std::os::unix::fs::MetadataExt;

use storage_core::Kind;
use storage_core::driver::{Plan, Start};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, must, refused, same, same_lines};
use crate::suite::store::{Held, extract, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "replace::an_empty_layer_gets_content",
        "A layer that held nothing gets the content of an archive, and has its identity then.",
        &[],
        empty,
    ),
    case(
        "replace::begins_with_what_the_layer_holds",
        "The replacement of a layer that holds something begins with all of it, and only the difference has to be made.",
        &[],
        begins,
    ),
    case(
        "replace::a_second_one_is_noticed",
        "A replacement fails when the content was replaced since it was begun, and the layer stays as it is.",
        &[],
        second,
    ),
    case(
        "replace::children_stand_on_the_new_content",
        "A child made after a replacement stands on the new content.",
        &[],
        children,
    ),
    case(
        "replace::one_that_is_dropped_changes_nothing",
        "A replacement that is dropped leaves the layer as it was, and nothing of its own.",
        &[],
        dropped,
    ),
    case(
        "replace::a_removed_layer_is_noticed",
        "A replacement fails when the layer was removed meanwhile, and makes no layer.",
        &[],
        removed,
    ),
];

fn empty(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let mut staged = store.begin(&Plan::new(Start::Replacing { layer: b.clone(), empty: true }))?;
    extract(&*staged, &super::whiteouts::archive(&[".wh.f", "new"])?)?;
    let identity = staged.identity()?;
    let trash = store.exclusive(|driver| driver.replace(&mut *staged, &b.id))?;
    drop(staged);
    trash.reclaim(&task())?;
    same("its identity", store.identity(&b)?, identity)?;
    let tree = store.tree(&b)?;
    same("what it shows", (tree.has("new"), tree.has("f"), tree.has("s")), (true, false, true))?;
    drop(tree);
    store.must_be_clean()
}

fn begins(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| {
        tree.write("kept", "kept")?;
        tree.write("gone", "")?;
        tree.mode(".", 0o711)
    })?;
    store.edit(&b, |tree| tree.remove("s"))?;
    let trash = store.replace(&b, Held::Something, |tree| {
        same("what it begins with", tree.read("kept")?, "kept".to_owned())?;
        tree.remove("gone")?;
        tree.write("new", "new")
    })?;
    trash.reclaim(&task())?;
    let tree = store.tree(&b)?;
    let names = ["kept", "gone", "new", "s", "f"].map(|name| tree.has(name));
    same("what it shows", names, [true, false, true, false, true])?;
    same("the mode of its root", tree.stat(".")?.mode() & 0o7777, 0o711)?;
    drop(tree);
    store.edit(&b, |tree| tree.write("new", "again"))?;
    store.must_be_clean()
}

fn second(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut late = store.begin(&Plan::new(Start::Replacing { layer: a.clone(), empty: false }))?;
    Tree::staged(&*late)?.write("late", "")?;
    store.replace(&a, Held::Something, |tree| tree.write("f", "two"))?.reclaim(&task())?;
    let expected = store.listing(&a)?;
    let replaced = store.exclusive(|driver| driver.replace(&mut *late, &a.id));
    refused("a replacement of something else", replaced, &[Kind::Changed])?;
    drop(late);
    same_lines("the layer", &store.listing(&a)?, &expected)?;
    store.must_be_clean()
}

fn children(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    store.replace(&a, Held::Something, |tree| tree.write("f", "two"))?.reclaim(&task())?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    same("the child", store.tree(&b)?.read("f")?, "two".to_owned())?;
    store.sweep()?;
    same("the child after a sweep", store.tree(&b)?.read("f")?, "two".to_owned())?;
    store.edit(&b, |tree| same("the child mounted", tree.read("f")?, "two".to_owned()))
}

fn dropped(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let before = (store.listing(&a)?, store.identity(&a)?);
    let staged = store.begin(&Plan::new(Start::Replacing { layer: a.clone(), empty: false }))?;
    Tree::staged(&*staged)?.write("f", "two")?;
    drop(staged);
    same("the layer", (store.listing(&a)?, store.identity(&a)?), before)?;
    store.must_be_clean()
}

fn removed(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut staged = store.begin(&Plan::new(Start::Replacing { layer: a.clone(), empty: false }))?;
    store.delete(&a)?;
    let replaced = store.exclusive(|driver| driver.replace(&mut *staged, &a.id));
    refused("the replacement of a removed layer", replaced, &[Kind::Changed, Kind::NotFound])?;
    drop(staged);
    must(!store.exists("a")?, "a layer that was removed is there again")?;
    store.must_be_clean()
}
