//! Layers whose owners are kept through id maps.

use std::os::unix::fs::MetadataExt;

use storage_core::Kind;
use storage_core::driver::{OwnerMaps, Plan, Start};
use storage_core::idmap::{IdMap, Maps};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, refused, same, same_lines};
use crate::suite::store::{chain, extract, id, lines, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "maps::a_base_belongs_to_the_root_of_its_maps",
        "The root of a layer without a parent belongs to the root of its maps.",
        &[Need::Root],
        base,
    ),
    case(
        "maps::a_child_has_its_parents_tree_under_new_owners",
        "A child with other maps than its parent begins with the parent's tree under the owners of its own, and the parent \
         keeps its.",
        &[Need::Root],
        shifted,
    ),
    case(
        "maps::owners_are_compared_as_they_are_inside",
        "A child under other maps has no changes in the eyes of its container, and its archive tells the owners inside.",
        &[Need::Root],
        compared,
    ),
    case(
        "maps::a_child_with_its_parents_maps_is_not_copied",
        "A child with the same maps as its parent shows the owners as they are kept.",
        &[Need::Root],
        same_maps,
    ),
    case(
        "maps::an_archive_is_kept_under_the_maps",
        "An archive put into a mapped layer is kept under the owners outside, and packed with those inside.",
        &[Need::Root],
        archive,
    ),
    case(
        "maps::an_owner_outside_the_maps_is_refused",
        "A parent with an owner that the new maps don't have makes no child, and nothing is left.",
        &[Need::Root],
        outside,
    ),
];

/// 0 inside is `host` outside, and so on.
fn maps(host: u64, size: u64) -> Maps {
    let map = vec![IdMap { container_id: 0, host_id: host, size }];
    Maps { uids: map.clone(), gids: map }
}

fn on(parent: &str, from: Maps, to: Maps) -> storage_core::Result<Plan> {
    let start = Start::OnParent(Some(chain(&[parent])?));
    Ok(Plan { maps: to, parent_maps: from, ..Plan::new(start) })
}

fn owner(tree: &Tree, name: &str) -> Checked<(u32, u32)> {
    tree.stat(name).map(|found| (found.uid(), found.gid()))
}

/// Files of several owners, and one with the bits that a change of owner clears.
fn owned(tree: &Tree) -> Checked {
    super::create::some_tree(tree)?;
    tree.write("one", "text")?;
    tree.owner("one", 1, 2)?;
    tree.mode("one", 0o6755)?;
    tree.link("one", "two")?;
    tree.symlink("nowhere", "link")?;
    tree.owner("link", 3, 4)
}

fn base(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let plan = Plan { maps: maps(100_000, 65_536), ..Plan::new(Start::OnParent(None)) };
    let a = store.make_as(chain(&["a"])?, &plan, |tree| tree.write("f", ""))?;
    same("the root", owner(&store.tree(&a)?, ".")?, (100_000, 100_000))
}

fn shifted(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], owned)?;
    let before = store.listing(&a)?;
    let plan = on("a", Maps::NONE, maps(100_000, 65_536))?;
    let b = store.make_as(chain(&["b", "a"])?, &plan, |_| Ok(()))?;
    let tree = store.tree(&b)?;
    same("a file", owner(&tree, "one")?, (100_001, 100_002))?;
    same("its other name", (tree.stat("two")?.ino(), tree.stat("two")?.nlink()), (tree.stat("one")?.ino(), 2))?;
    same("its mode", tree.stat("one")?.mode() & 0o7777, 0o6755)?;
    same("a link", owner(&tree, "link")?, (100_003, 100_004))?;
    same("a file of root's", owner(&tree, "d/e/deep")?, (100_000, 100_000))?;
    same("the root", owner(&tree, ".")?, (100_000, 100_000))?;
    same("a text", tree.read("f")?, "one".to_owned())?;
    same_lines("the parent", &store.listing(&a)?, &before)?;
    store.edit(&b, |tree| {
        same("mounted", owner(tree, "one")?, (100_001, 100_002))?;
        tree.remove("d")
    })?;
    same("what was removed in a mount", store.tree(&b)?.has("d"), false)
}

fn compared(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], owned)?;
    let inside = maps(100_000, 65_536);
    let b = store.make_as(chain(&["b", "a"])?, &on("a", Maps::NONE, inside.clone())?, |_| Ok(()))?;
    let owners = OwnerMaps { layer: inside.clone(), ..OwnerMaps::default() };
    let changes = |store: &mut super::super::store::Store| {
        store.shared(|driver| driver.compare(&b, Some(&a), &owners)).and_then(|compared| lines(&*compared))
    };
    same_lines("in the eyes of its container", &changes(&mut store)?, &[])?;
    store.edit(&b, |tree| {
        tree.write("new", "")?;
        tree.owner("new", 100_007, 100_008)?;
        tree.owner("f", 100_001, 100_000)
    })?;
    same_lines("changed inside", &changes(&mut store)?, &["C /f".to_owned(), "A /new".to_owned()])?;
    let mut archive = Vec::new();
    let compared = store.shared(|driver| driver.compare(&b, Some(&a), &owners))?;
    compared.pack(&mut archive, &mut || Ok(()), &task())?;
    let (c, _) = store.import(&["c", "a"], &archive)?;
    let tree = store.tree(&c)?;
    same("the owners of its archive", (owner(&tree, "new")?, owner(&tree, "f")?), ((7, 8), (1, 0)))
}

fn same_maps(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let inside = maps(100_000, 65_536);
    let plan = Plan { maps: inside.clone(), ..Plan::new(Start::OnParent(None)) };
    let a = store.make_as(chain(&["a"])?, &plan, |tree| {
        tree.write("f", "text")?;
        tree.owner("f", 100_005, 100_006)
    })?;
    let b = store.make_as(chain(&["b", "a"])?, &on("a", inside.clone(), inside)?, |_| Ok(()))?;
    let expected = store.listing(&a)?;
    same_lines("the child", &store.listing(&b)?, &expected)?;
    same_lines("its changes", &store.changes(&b, Some(&a))?, &[])
}

fn archive(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], owned)?;
    let diff = store.diff(&a, None)?;
    let inside = maps(200_000, 1000);
    let plan = Plan { maps: inside.clone(), ..Plan::new(Start::OnParent(None)) };
    let mut staged = store.begin(&plan)?;
    same("the maps of a layer in the making", staged.maps() == &inside, true)?;
    extract(&*staged, &diff)?;
    let id = id("m")?;
    store.exclusive(|driver| driver.commit(&mut *staged, &id))?;
    let m = chain(&["m"])?;
    same("a file", owner(&store.tree(&m)?, "one")?, (200_001, 200_002))?;
    let owners = OwnerMaps { layer: inside, ..OwnerMaps::default() };
    let mut archive = Vec::new();
    store.shared(|driver| driver.compare(&m, None, &owners))?.pack(&mut archive, &mut || Ok(()), &task())?;
    let (c, _) = store.import(&["c"], &archive)?;
    let expected = store.listing(&a)?;
    same_lines("packed and put elsewhere", &store.listing(&c)?, &expected)
}

fn outside(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| {
        tree.write("f", "")?;
        tree.owner("f", 5000, 0)
    })?;
    let plan = on("a", Maps::NONE, maps(100_000, 1000))?;
    refused("an owner outside the maps", store.begin(&plan), &[Kind::InvalidMappings])?;
    same("the list", store.list()?, vec!["a".to_owned()])?;
    store.must_be_clean()
}
