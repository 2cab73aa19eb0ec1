//! Making layers: the scenarios of the reference's driver tests, and late parents.

use std::os::unix::fs::MetadataExt;

use storage_core::Kind;
use storage_core::driver::{Capability, LayerRef, Plan, RootFrom, Start};

use crate::suite::bench::{Bench, depth, has};
use crate::suite::check::{Checked, must, refused, same, same_lines};
use crate::suite::store::{Store, chain, id};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "create::an_empty_base",
        "A new layer without a parent exists, is empty, belongs to who made it, and has mode 0555.",
        &[],
        empty_base,
    ),
    case(
        "create::a_base_keeps_modes_and_owners",
        "What is written into a mounted base layer has its modes and owners when it is mounted again.",
        &[Need::Root],
        base,
    ),
    case("create::a_child_shows_its_parent", "A new child shows exactly the tree of its parent.", &[], child),
    case(
        "create::a_copy_of_a_template",
        "A layer begun on a template shows the template's tree, and differs from the template's parent as that does.",
        &[],
        template,
    ),
    case(
        "create::a_deep_chain",
        "The top of a deep chain shows what every layer added, and the last word of each on what all changed.",
        &[],
        deep,
    ),
    case(
        "create::siblings_and_parents_go_their_own_ways",
        "What is written to a layer shows in no other: not in its parent, not in a sibling.",
        &[],
        own_ways,
    ),
    case(
        "create::the_root_has_the_owner_and_mode_of_its_parents",
        "The root directory of a child has the mode, and as root the owner, of its parent's.",
        &[],
        root_like_parent,
    ),
    case("create::an_unknown_parent_is_refused", "Nothing is begun on a layer that has no place.", &[], no_parent),
    case(
        "create::a_parent_may_come_late",
        "A layer that was filled before it had a parent is, once settled, as if it had begun on it.",
        &[Need::LateParents],
        late_parent,
    ),
    case(
        "create::a_late_parent_is_refused_where_it_must_come_first",
        "A driver that must know the parent first refuses a late one, and the layer can still be made without.",
        &[Need::EarlyParents],
        late_refused,
    ),
];

fn empty_base(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let layer = store.make(&["empty"], |_| Ok(()))?;
    must(store.exists("empty")?, "it doesn't exist")?;
    let check = |tree: &Tree| -> Checked {
        let root = tree.stat(".")?;
        same("the mode of the root", root.mode() & 0o7777, 0o555)?;
        let me = nix::unistd::Uid::effective().as_raw();
        same("the owner of the root", root.uid(), me)?;
        same("the names in it", tree.names(".")?, Vec::new())
    };
    check(&store.tree(&layer)?)?;
    store.edit(&layer, check)
}

fn base(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let layer = store.make(&["base"], |_| Ok(()))?;
    store.edit(&layer, |tree| {
        tree.write("a file", "")?;
        tree.owner("a file", 1, 0)?;
        tree.mode("a file", 0o4222)?;
        tree.dir("a subdir")?;
        tree.owner("a subdir", 1, 2)?;
        tree.mode("a subdir", 0o1705)
    })?;
    let check = |tree: &Tree| -> Checked {
        let (file, dir) = (tree.stat("a file")?, tree.stat("a subdir")?);
        same("the file", (file.mode() & 0o7777, file.uid(), file.gid()), (0o4222, 1, 0))?;
        same("the directory", (dir.mode() & 0o7777, dir.uid(), dir.gid()), (0o1705, 1, 2))?;
        same("the names", tree.names(".")?, vec!["a file".to_owned(), "a subdir".to_owned()])
    };
    store.edit(&layer, check)?;
    check(&store.tree(&layer)?)
}

/// A small tree of files and directories.
pub(super) fn some_tree(tree: &Tree) -> Checked {
    tree.dir("d/e")?;
    tree.write("d/e/deep", "deep")?;
    tree.write("f", "one")?;
    tree.mode("f", 0o640)?;
    tree.time("f", 1_000_000_000, 123_456_789)?;
    tree.symlink("d/e/deep", "s")
}

fn child(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let expected = store.listing(&a)?;
    same("the number of entries", expected.len(), 5)?;
    same_lines("the view of the child", &store.listing(&b)?, &expected)?;
    let mounted = Tree::at(store.mount(&b)?).listing();
    drop(store.unmount(&b, storage_core::driver::Extent::One)?);
    same_lines("the mounted child", &mounted?, &expected)
}

fn template(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let base = store.make(&["base"], some_tree)?;
    let snap = store.make(&["snap", "base"], |tree| tree.write("testfile.txt", "test"))?;
    let plan = Plan::new(Start::OnParent(Some(snap.clone())));
    // The records say that the copy stands where the template does.
    for name in ["rw", "ro"] {
        let copy = LayerRef::own(id(name)?, [base.id.clone()]);
        let plan = Plan { writable: name == "rw", ..plan.clone() };
        let copy = store.make_as(copy, &plan, |_| Ok(()))?;
        same("its text", store.tree(&copy)?.read("testfile.txt")?, "test".to_owned())?;
        same_lines("against the template", &store.changes(&copy, Some(&snap))?, &[])?;
        same_lines("against its parent", &store.changes(&copy, Some(&base))?, &["A /testfile.txt".to_owned()])?;
    }
    Ok(())
}

fn deep(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let depth = depth(&store);
    let top = make_deep(&mut store, depth)?;
    let check = |tree: &Tree| -> Checked {
        same("the file that all changed", tree.read("same")?, (depth - 1).to_string())?;
        for number in 0..depth {
            same("the file of a layer", tree.read(&format!("f{number}"))?, number.to_string())?;
        }
        same("the number of files", tree.names(".")?.len(), depth + 1)
    };
    check(&store.tree(&top)?)?;
    store.edit(&top, check)?;
    let changes = store.changes(&top, top.parent_ref().as_ref())?;
    same_lines("its changes", &changes, &[format!("A /f{}", depth - 1), "C /same".to_owned()])
}

fn make_deep(store: &mut Store, depth: usize) -> Checked<LayerRef> {
    let mut names: Vec<String> = Vec::new();
    for number in 0..depth {
        names.insert(0, format!("l{number}"));
        let chain: Vec<&str> = names.iter().map(String::as_str).collect();
        store.make(&chain, |tree| {
            tree.write(&format!("f{number}"), &number.to_string())?;
            if tree.has("same") {
                tree.remove("same")?;
            }
            tree.write("same", &number.to_string())
        })?;
    }
    let chain: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(self::chain(&chain)?)
}

fn own_ways(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], some_tree)?;
    let (b, c) = (store.make(&["b", "a"], |_| Ok(()))?, store.make(&["c", "a"], |_| Ok(()))?);
    let before = store.listing(&a)?;
    store.edit(&b, |tree| {
        tree.write("f", "changed")?;
        tree.remove("d")?;
        tree.write("new", "new")
    })?;
    same_lines("the parent", &store.listing(&a)?, &before)?;
    same_lines("the sibling", &store.listing(&c)?, &before)?;
    let tree = store.tree(&b)?;
    same("the layer", (tree.read("f")?, tree.has("d"), tree.has("new")), ("changed".to_owned(), false, true))
}

fn root_like_parent(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let is_root = Need::Root.unmet(store.gate(), bench.grounds.filesystem()).is_none();
    store.make(&["a"], |tree| {
        if is_root {
            tree.owner(".", 7, 8)?;
        }
        tree.mode(".", 0o2750)
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let c = store.make(&["c", "b", "a"], |_| Ok(()))?;
    for layer in [b, c] {
        let root = store.tree(&layer)?.stat(".")?;
        same("the mode", root.mode() & 0o7777, 0o2750)?;
        if is_root {
            same("the owner", (root.uid(), root.gid()), (7, 8))?;
        }
    }
    Ok(())
}

fn no_parent(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let plan = Plan::new(Start::OnParent(Some(chain(&["nobody"])?)));
    refused("a child of nobody", store.begin(&plan), &[Kind::NotFound])?;
    let plan = Plan::new(Start::Replacing { layer: chain(&["nobody"])?, empty: true });
    refused("the replacement of nobody", store.begin(&plan), &[Kind::NotFound])?;
    same("the layers", store.list()?, Vec::new())?;
    store.must_be_clean()
}

fn late_parent(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        some_tree(tree)?;
        tree.mode(".", 0o751)
    })?;
    for (name, from, mode) in [("p", RootFrom::Parent, 0o751), ("r", RootFrom::Archive, 0o700)] {
        let early = store.make(&[&format!("early-{name}"), "a"], |tree| tree.write("own", "own"))?;
        let mut staged = store.begin(&Plan::new(Start::OnParent(None)))?;
        let tree = Tree::staged(&*staged)?;
        tree.write("own", "own")?;
        if from == RootFrom::Archive {
            tree.mode(".", mode)?;
        }
        drop(tree);
        store.shared(|driver| driver.settle(&mut *staged, &a, from))?;
        let late = chain(&[&format!("late-{name}"), "a"])?;
        store.commit(&mut *staged, late.id.as_str())?;
        same_lines("its changes", &store.changes(&late, Some(&a))?, &store.changes(&early, Some(&a))?)?;
        let tree = store.tree(&late)?;
        same("what it shows", (tree.read("own")?, tree.read("f")?), ("own".to_owned(), "one".to_owned()))?;
        same("the mode of its root", tree.stat(".")?.mode() & 0o7777, mode)?;
    }
    let mut orphan = store.begin(&Plan::new(Start::OnParent(None)))?;
    let gone = chain(&["nobody"])?;
    let settled = store.shared(|driver| driver.settle(&mut *orphan, &gone, RootFrom::Parent));
    refused("settling on nobody", settled, &[Kind::NotFound])?;
    drop(orphan);
    must(has(&store, Capability::KernelMounts), "a driver that doesn't mount can't stack")?;
    store.must_be_clean()
}

fn late_refused(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    let mut staged = store.begin(&Plan::new(Start::OnParent(None)))?;
    let settled = store.shared(|driver| driver.settle(&mut *staged, &a, RootFrom::Parent));
    refused("a late parent", settled, &[Kind::NotSupported])?;
    store.commit(&mut *staged, "b")?;
    must(store.exists("b")?, "what was begun without a parent can't be made any more")
}
