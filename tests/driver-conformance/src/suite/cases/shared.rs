//! Operations under a shared hold: what they tell, and that they change nothing that others see.

use std::path::PathBuf;

use storage_core::Kind;
use storage_core::driver::{Capability, Extent, Home, MountOptions};
use storage_core::mount::mounts_here;

use crate::suite::bench::{Bench, has};
use crate::suite::check::{Checked, Step, must, refused, same, same_lines};
use crate::suite::store::{Held, Store, chain, id, task};
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "shared::attaches_nothing",
        "No operation under a shared hold leaves a mount that this mount namespace shows, or makes one while it lasts.",
        &[],
        attaches_nothing,
    ),
    case(
        "shared::changes_nothing_of_a_layer",
        "After every operation under a shared hold each layer is as it was, to the change time of its root.",
        &[],
        changes_nothing,
    ),
    case("shared::lists_exactly_the_layers", "The list of a home names every layer and nothing else.", &[], lists),
    case(
        "shared::an_unknown_layer_is_told",
        "A layer that has no place doesn't exist, and asking for anything of it is an error that says so.",
        &[],
        unknown,
    ),
    case(
        "shared::an_empty_base_is_untouched",
        "A base layer that nothing was written to is untouched; one that holds something never is.",
        &[],
        untouched,
    ),
    case(
        "shared::a_mount_for_writing_leaves_a_mark",
        "Where the driver has a mark of writing, every mount for writing changes it, and nothing else does.",
        &[],
        write_mark,
    ),
    case(
        "shared::an_identity_is_of_one_content",
        "An identity stays through mounts, edits and views, is no other layer's, and changes when the content is replaced.",
        &[],
        identity,
    ),
    case(
        "shared::metadata_names_places",
        "The pairs that tell where a layer's parts are have distinct keys, and are the same each time.",
        &[],
        metadata,
    ),
    case(
        "shared::a_parent_that_is_recalled_is_the_parent",
        "What a layer's own files say of its parent is true, where they say anything.",
        &[],
        recalls,
    ),
    case(
        "shared::a_sound_store_has_no_flaws",
        "Examining sound layers finds no flaw and no stray, and healing them changes nothing.",
        &[],
        sound,
    ),
    case(
        "shared::a_lost_mount_point_is_healed",
        "When the directory of a mount point was lost, the layer can be mounted after it was healed.",
        &[Need::Has(Capability::KernelMounts)],
        lost_mount_point,
    ),
];

/// Everything that is mounted, in this mount namespace.
fn mounts() -> Checked<Vec<PathBuf>> {
    Ok(mounts_here()?.into_iter().map(|mount| mount.mount_point).collect())
}

fn attaches_nothing(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    let before = mounts()?;
    let check = |what: &str| same(&format!("mounts during {what}"), mounts()?, before.clone());
    let view = store.view(&b)?;
    check("a view")?;
    let own = store.shared(|driver| driver.own_files(&b))?;
    check("own files")?;
    let compared = store.compare(&b, Some(&a))?;
    check("a comparison")?;
    let mut during = Ok(());
    compared.changes(&task(), &mut |_| {
        during = check("the changes");
        Ok(())
    })?;
    during?;
    compared.pack(&mut Vec::new(), &mut || Ok(()), &task())?;
    compared.size(&task())?;
    check("a diff")?;
    must(!store.is_mounted(&b)?, "a layer that is only looked at counts as mounted")?;
    drop((view, own, compared));
    every_question(&mut store)?;
    check("the other questions")
}

/// Asks all that can be asked under a shared hold about the layers `a` and `b`.
fn every_question(store: &mut Store) -> Checked {
    for layer in [chain(&["a"])?, chain(&["b", "a"])?] {
        store.shared(|driver| {
            driver.exists(&layer.id, layer.home)?;
            driver.list(layer.home)?;
            driver.metadata(&layer)?;
            driver.identity(&layer.id, layer.home)?;
            drop(driver.view(&layer)?);
            drop(driver.own_files(&layer)?);
            driver.is_untouched(&layer)?;
            driver.write_mark(&layer.id, layer.home)?;
            driver.is_mounted(&layer.id, layer.home)?;
            driver.examine(&layer)?;
            driver.strays()?;
            driver.recall_parent(&layer.id, layer.home)?;
            Ok(())
        })?;
        store.compare(&layer, layer.parent_ref().as_ref())?.size(&task())?;
        store.diff(&layer, None)?;
    }
    Ok(())
}

fn changes_nothing(bench: &Bench) -> Checked {
    use std::os::unix::fs::MetadataExt;
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    let told = |store: &mut Store| -> Checked<Vec<String>> {
        let mut lines = Vec::new();
        for layer in [&a, &b] {
            lines.extend(store.listing(layer)?);
            let root = store.tree(layer)?.stat(".")?;
            lines.push(format!("{} {}.{}", layer.id, root.ctime(), root.ctime_nsec()));
            lines.push(store.identity(layer)?);
        }
        Ok(lines)
    };
    let before = told(&mut store)?;
    every_question(&mut store)?;
    same_lines("the layers", &told(&mut store)?, &before)?;
    same("the list", store.list()?, vec!["a".to_owned(), "b".to_owned()])?;
    store.must_be_clean()
}

fn lists(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    same("an empty store", store.list()?, Vec::new())?;
    store.make(&["base"], |_| Ok(()))?;
    store.make(&["mid", "base"], |_| Ok(()))?;
    let upper = store.make(&["upper", "mid", "base"], |_| Ok(()))?;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let staged = store.begin(&storage_core::driver::Plan::new(storage_core::driver::Start::OnParent(None)))?;
    same("three layers", store.list()?, names(&["base", "mid", "upper"]))?;
    drop(staged);
    let trash = store.remove(&upper)?;
    same("after a removal", store.list()?, names(&["base", "mid"]))?;
    trash.reclaim(&task())?;
    store.edit(&chain(&["mid", "base"])?, |_| Ok(()))?;
    same("after a mount", store.list()?, names(&["base", "mid"]))
}

fn unknown(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let nobody = chain(&["nobody"])?;
    let gone = [Kind::NotFound];
    must(!store.exists("nobody")?, "a layer that was never made exists")?;
    refused("its view", store.view(&nobody), &gone)?;
    refused("its own files", store.shared(|driver| driver.own_files(&nobody)), &gone)?;
    refused("its identity", store.identity(&nobody), &gone)?;
    refused("its changes", store.compare(&nobody, None), &gone)?;
    refused("changes against it", store.compare(&a, Some(&nobody)), &gone)?;
    refused("its mount", store.mount(&nobody), &gone)?;
    must(!store.is_mounted(&nobody)?, "a layer that was never made is mounted")?;
    must(!store.unmount(&nobody, Extent::All)?.any(), "there was a mount of it")?;
    let home = Home::Own;
    let untouched = store.shared(|driver| driver.is_untouched(&nobody));
    must(!matches!(untouched, Ok(true)), "a layer that was never made is untouched")?;
    let recalled = store.shared(|driver| driver.recall_parent(&id("nobody")?, home));
    must(!matches!(recalled, Ok(Some(_))), "a layer that was never made has a parent")?;
    same("the list", store.list()?, vec!["a".to_owned()])
}

fn untouched(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let told = |store: &mut Store, layer| store.shared(|driver| driver.is_untouched(layer));
    let a = store.make(&["a"], |_| Ok(()))?;
    must(told(&mut store, &a)?, "an empty base counts as touched")?;
    store.edit(&a, |tree| tree.listing().map(drop))?;
    must(told(&mut store, &a)?, "an empty base that was mounted counts as touched")?;
    store.edit(&a, |tree| tree.write("f", ""))?;
    must(!told(&mut store, &a)?, "a base that was written to counts as untouched")?;
    let b = store.make(&["b", "a"], |tree| tree.write("g", ""))?;
    must(!told(&mut store, &b)?, "a child with a file of its own counts as untouched")?;
    let c = store.make(&["c", "a"], |_| Ok(()))?;
    store.edit(&c, |tree| tree.remove("f"))?;
    must(!told(&mut store, &c)?, "a child that hides a file counts as untouched")
}

fn write_mark(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let mark = |store: &mut Store| store.shared(|driver| driver.write_mark(&a.id, a.home));
    let Some(first) = mark(&mut store)? else {
        store.edit(&a, |tree| tree.write("f", ""))?;
        return same("the mark of a driver without marks", mark(&mut store)?, None);
    };
    drop(store.view(&a)?);
    same("after a view", mark(&mut store)?, Some(first.clone()))?;
    store.mount_as(&a, &MountOptions { read_only: true, ..MountOptions::default() })?;
    drop(store.unmount(&a, Extent::One)?);
    same("after a mount for reading", mark(&mut store)?, Some(first.clone()))?;
    store.edit(&a, |_| Ok(()))?;
    let second = mark(&mut store)?;
    must(second.is_some() && second != Some(first), "a mount for writing left no mark")?;
    store.edit(&a, |_| Ok(()))?;
    must(mark(&mut store)? != second, "a second mount for writing left no mark")
}

fn identity(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let first = store.identity(&a)?;
    must(!first.is_empty() && first != store.identity(&b)?, "two layers have one identity")?;
    store.edit(&a, |tree| tree.write("f", ""))?;
    drop(store.view(&a)?);
    same("after an edit", store.identity(&a)?, first.clone())?;
    let trash = store.replace(&a, Held::Something, |tree| tree.write("g", ""))?;
    let second = store.identity(&a)?;
    must(second != first, "the replaced content has the identity of the former")?;
    trash.reclaim(&task())?;
    store.delete(&b)?;
    store.delete(&a)?;
    store.make(&["a"], |_| Ok(()))?;
    let third = store.identity(&a)?;
    must(third != second && third != first, "a layer made anew has the identity of one that is gone")
}

fn metadata(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let pairs = store.shared(|driver| driver.metadata(&b))?;
    same("asked again", store.shared(|driver| driver.metadata(&b))?, pairs.clone())?;
    let mut keys: Vec<_> = pairs.iter().map(|(key, _)| key.clone()).collect();
    keys.sort();
    keys.dedup();
    same("the number of keys", keys.len(), pairs.len())?;
    must(pairs.iter().all(|(key, value)| !key.is_empty() && !value.is_empty()), "a key or a value is empty")
}

fn recalls(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    store.make(&["b", "a"], |_| Ok(()))?;
    for (name, parent) in [("a", None), ("b", Some(id("a")?))] {
        let id = id(name)?;
        let told = store.shared(|driver| driver.recall_parent(&id, Home::Own))?;
        must(told.is_none() || told == parent, format!("{name} recalls {told:?} as its parent"))?;
    }
    Ok(())
}

fn sound(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| tree.remove("f"))?;
    for layer in [&a, &b] {
        let before = (store.listing(layer)?, store.identity(layer)?);
        same("flaws", store.shared(|driver| driver.examine(layer))?, Vec::new())?;
        store.exclusive(|driver| driver.heal(layer))?;
        same("the layer after healing", (store.listing(layer)?, store.identity(layer)?), before)?;
    }
    same("strays", store.strays()?, Vec::new())?;
    same("strays removed", store.remove_strays()?, 0)
}

fn lost_mount_point(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "text"))?;
    must(has(&store, Capability::KernelMounts), "no mounts")?;
    let point = store.gate().mount_point(&a.id, a.home)?;
    if point.is_dir() {
        std::fs::remove_dir(&point).step("rmdir", &point)?;
    }
    store.exclusive(|driver| driver.heal(&a))?;
    store.edit(&a, |tree| same("the file", tree.read("f")?, "text".to_owned()))
}
