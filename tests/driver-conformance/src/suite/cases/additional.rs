//! Layers in other homes: additional stores, which are only read, and a separate image store.

use storage_core::driver::{Ancestor, Capability, Extent, Home, LayerRef, MountOptions, Plan, Request, Roots, Start};
use storage_core::{Kind, Result};

use crate::suite::bench::{Bench, has};
use crate::suite::check::{Checked, must, refused, same, same_lines, skip};
use crate::suite::store::{Store, chain, id, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "additional::its_layers_are_seen_and_compared",
        "The layers of an additional store are listed, viewed and compared as they are.",
        &[],
        seen,
    ),
    case(
        "additional::a_layer_stands_on_one_of_it",
        "A layer of the store's own can stand on one of an additional store, and shows both.",
        &[],
        stood_upon,
    ),
    case(
        "additional::nothing_in_it_is_ever_changed",
        "Nothing that is asked of a layer of an additional store, refused or not, changes anything in it.",
        &[],
        unchanged,
    ),
    case(
        "additional::its_layers_are_mounted_for_reading_only",
        "A layer of an additional store is mounted in the run root, for reading whatever is asked, and leaves nothing there.",
        &[],
        mounted,
    ),
    case(
        "additional::an_image_store_is_written_to",
        "A layer is made in a separate image store, seen there only, and stood upon from the store's own home.",
        &[],
        image_store,
    ),
];

/// A store with the layers `a` and `b` on it, and one that has it as an additional store.
fn two(bench: &Bench) -> Checked<(Roots, Store)> {
    let first = bench.roots()?;
    let mut made = bench.store_on(&first)?;
    made.make(&["a"], super::create::some_tree)?;
    made.make(&["b", "a"], |tree| tree.write("own", "b"))?;
    drop(made);
    let second = Roots { additional: vec![first.graph.clone()], ..bench.roots()? };
    Ok((first, open(bench, &second)?))
}

/// Opens a store with several homes, or says that the driver has but one.
fn open(bench: &Bench, roots: &Roots) -> Checked<Store> {
    let request = Request::new(roots, bench.descriptor.name, &[])?;
    match Store::open(&bench.descriptor, request) {
        Err(error) if matches!(error.kind(), Kind::DriverUnusable | Kind::NotSupported) => skip(error.to_string()),
        opened => Ok(opened?),
    }
}

/// The layer `names[0]` of that home on the others of it.
fn there(home: Home, names: &[&str]) -> Result<LayerRef> {
    let layer = chain(names)?;
    let ancestors = layer.ancestors.into_iter().map(|ancestor| Ancestor { home, ..ancestor }).collect();
    Ok(LayerRef { home, ancestors, ..layer })
}

fn in_store(names: &[&str]) -> Result<LayerRef> {
    there(Home::Additional(0), names)
}

fn seen(bench: &Bench) -> Checked {
    let (_, mut store) = two(bench)?;
    let (a, b) = (in_store(&["a"])?, in_store(&["b", "a"])?);
    let mut names = store.shared(|driver| driver.list(Home::Additional(0)))?;
    names.sort();
    same("its list", names, vec!["a".to_owned(), "b".to_owned()])?;
    same("the own list", store.list()?, Vec::new())?;
    must(store.shared(|driver| driver.exists(&a.id, a.home))?, "its layer doesn't exist")?;
    must(!store.exists("a")?, "its layer exists in the own home")?;
    let tree = store.tree(&b)?;
    same("what it shows", (tree.read("f")?, tree.read("own")?), ("one".to_owned(), "b".to_owned()))?;
    same_lines("its changes", &store.changes(&b, Some(&a))?, &["A /own".to_owned()])?;
    let nobody = in_store(&["nobody"])?;
    refused("a view of nobody", store.view(&nobody), &[Kind::NotFound])
}

fn on_it(store: &mut Store) -> Checked<LayerRef> {
    let b = in_store(&["b", "a"])?;
    let mut ancestors = vec![Ancestor { id: b.id.clone(), home: b.home }];
    ancestors.extend(b.ancestors.clone());
    let own = LayerRef { id: id("own")?, home: Home::Own, ancestors };
    store.make_as(own, &Plan::new(Start::OnParent(Some(b))), |tree| tree.write("top", "top"))
}

fn stood_upon(bench: &Bench) -> Checked {
    let (_, mut store) = two(bench)?;
    let own = on_it(&mut store)?;
    let tree = store.tree(&own)?;
    same("what it shows", (tree.read("f")?, tree.read("top")?), ("one".to_owned(), "top".to_owned()))?;
    drop(tree);
    store.edit(&own, |tree| {
        tree.write("f", "changed")?;
        tree.remove("own")
    })?;
    let changes = store.changes(&own, own.parent_ref().as_ref())?;
    same_lines("its changes", &changes, &["C /f", "D /own", "A /top"].map(str::to_owned))?;
    store.delete(&own)?;
    store.must_be_clean()
}

fn unchanged(bench: &Bench) -> Checked {
    let (first, mut store) = two(bench)?;
    let whole = Tree::at(&first.graph);
    let before = whole.listing()?;
    let (a, b) = (in_store(&["a"])?, in_store(&["b", "a"])?);
    drop((store.view(&b)?, store.diff(&b, Some(&a))?));
    on_it(&mut store)?;
    let read_only = [Kind::ReadOnlyStore];
    refused("removing one of it", store.remove(&b), &read_only)?;
    let plan = Plan { home: Home::Additional(0), ..Plan::new(Start::OnParent(None)) };
    refused("making one in it", store.begin(&plan), &read_only)?;
    let replacing = Plan::new(Start::Replacing { layer: b.clone(), empty: false });
    refused("replacing one of it", store.begin(&replacing), &read_only)?;
    let healed = store.exclusive(|driver| driver.heal(&b));
    if let Err(error) = healed {
        same("healing one of it", error.kind(), Kind::ReadOnlyStore)?;
    }
    store.shared(|driver| driver.examine(&b))?;
    store.sweep()?;
    store.remove_strays()?;
    same_lines("the additional store", &whole.listing()?, &before)
}

fn mounted(bench: &Bench) -> Checked {
    let (first, mut store) = two(bench)?;
    if !has(&store, Capability::KernelMounts) {
        return skip("a mount of the driver is no mount of the kernel's");
    }
    let whole = Tree::at(&first.graph);
    let before = whole.listing()?;
    let b = in_store(&["b", "a"])?;
    let place = store.mount_as(&b, &MountOptions::default())?;
    let shown = Tree::at(&place).read("f");
    let written = std::fs::write(place.join("new"), "x").err().and_then(|error| error.raw_os_error());
    let counted = store.is_mounted(&b)?;
    drop(store.unmount(&b, Extent::All)?);
    same("what it shows", shown?, "one".to_owned())?;
    same("writing", written, Some(libc::EROFS))?;
    must(counted, "it doesn't count as mounted")?;
    must(place.starts_with(&store.request.run_home), format!("it is mounted at {}", place.display()))?;
    must(!store.request.run_home.join("b").exists(), "a directory is left in the run root")?;
    same_lines("the additional store", &whole.listing()?, &before)
}

fn image_store(bench: &Bench) -> Checked {
    let image = bench.roots()?;
    let roots = Roots { image: Some(image.graph.clone()), ..bench.roots()? };
    let mut store = open(bench, &roots)?;
    let a = there(Home::ImageStore, &["a"])?;
    let plan = Plan { home: Home::ImageStore, ..Plan::new(Start::OnParent(None)) };
    store.make_as(a.clone(), &plan, super::create::some_tree)?;
    must(store.shared(|driver| driver.exists(&a.id, Home::ImageStore))?, "it doesn't exist there")?;
    must(!store.exists("a")?, "it exists in the own home")?;
    let own =
        LayerRef { id: id("own")?, home: Home::Own, ancestors: vec![Ancestor { id: a.id.clone(), home: a.home }] };
    let own = store.make_as(own, &Plan::new(Start::OnParent(Some(a.clone()))), |tree| tree.write("top", ""))?;
    same("what stands on it shows", store.tree(&own)?.read("f")?, "one".to_owned())?;
    store.edit(&own, |tree| tree.remove("f"))?;
    same_lines("its changes", &store.changes(&own, Some(&a))?, &["D /f", "A /top"].map(str::to_owned))?;
    let trash = store.remove(&own)?;
    trash.reclaim(&task())?;
    store.delete(&a)?;
    must(!store.shared(|driver| driver.exists(&a.id, Home::ImageStore))?, "it exists after it was removed")?;
    store.must_be_clean()
}
