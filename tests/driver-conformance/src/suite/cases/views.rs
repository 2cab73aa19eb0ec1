//! Views: read-only, of the whole tree, true for as long as their pins say so.

use std::os::fd::AsRawFd;

use rustix::fs::{Mode, OFlags};
use storage_core::Kind;
use storage_core::archive::Whiteouts;
use storage_core::driver::Capability;

use crate::suite::bench::{Bench, has};
use crate::suite::check::{Checked, fail, must, refused, same, same_lines};
use crate::suite::store::{Held, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "views::nobody_writes_through_one",
        "Through a view nothing can be made, changed, removed or given another mode.",
        &[Need::Has(Capability::DetachedViews)],
        read_only,
    ),
    case("views::devices_are_no_devices", "A device in a view can't be opened.", &[Need::Root], no_devices),
    case(
        "views::one_lasts_while_its_layer_is_removed",
        "A view of a layer that was removed, reclaimed and swept is whole until it is closed, tells that it isn't true any \
         more, and what it held back is reclaimed then.",
        &[],
        lasts,
    ),
    case(
        "views::one_lasts_while_its_layer_is_replaced",
        "A view shows the former content of a layer that was replaced, and tells that it isn't true any more.",
        &[],
        lasts_replaced,
    ),
    case(
        "views::a_removed_ancestor_is_noticed_or_doesn_t_matter",
        "When a layer below was removed, a view either says so or still shows all of it.",
        &[],
        ancestor,
    ),
    case("views::several_at_once", "Many views of one layer live at the same time.", &[], several),
    case(
        "views::own_files_are_the_layers_own",
        "Own files are the whole tree where whiteouts are applied, else exactly what the layer itself holds.",
        &[],
        own_files,
    ),
    case(
        "views::own_directory_holds_the_own_files",
        "The directory that is named for sharing blocks holds the files that the view of own files shows.",
        &[],
        own_directory,
    ),
    case(
        "views::a_layer_that_is_mounted_can_be_viewed",
        "A view of a layer that is mounted for writing shows what is in it.",
        &[],
        of_mounted,
    ),
];

fn read_only(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        tree.mode(".", 0o777)?;
        tree.write("f", "one")
    })?;
    let b = store.make(&["b", "a"], |tree| tree.write("g", "two"))?;
    for layer in [&a, &b] {
        let view = store.view(layer)?;
        let before = Tree::view(&view)?.listing()?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let open = |name: &str, flags| rustix::fs::openat(view.root(), name, flags, Mode::from_raw_mode(0o600)).is_ok();
        must(!open("new", flags | OFlags::CREATE), "a file could be made through a view")?;
        must(!open("f", flags), "a file could be opened for writing through a view")?;
        let removed = rustix::fs::unlinkat(view.root(), "f", rustix::fs::AtFlags::empty());
        must(removed.is_err(), "a file could be removed through a view")?;
        let changed = rustix::fs::chmodat(view.root(), "f", Mode::from_raw_mode(0o777), rustix::fs::AtFlags::empty());
        must(changed.is_err(), "a mode could be changed through a view")?;
        let made = rustix::fs::mkdirat(view.root(), "d", Mode::from_raw_mode(0o700));
        must(made.is_err(), "a directory could be made through a view")?;
        same_lines("the layer", &Tree::view(&view)?.listing()?, &before)?;
        view.check()?;
    }
    Ok(())
}

fn no_devices(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    if !has(&store, Capability::DetachedViews) {
        return crate::suite::check::skip("views are not mounts of their own here");
    }
    let a = store.make(&["a"], |tree| tree.device("null", nix::sys::stat::SFlag::S_IFCHR, 1, 3))?;
    let view = store.view(&a)?;
    match rustix::fs::openat(view.root(), "null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::ACCESS) => Ok(()),
        Err(errno) => fail(format!("opening a device: {errno}")),
        Ok(file) => fail(format!("a device was opened through a view, as {}", file.as_raw_fd())),
    }
}

fn lasts(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let view = store.view(&a)?;
    let before = Tree::view(&view)?.listing()?;
    view.check()?;
    store.delete(&a)?;
    must(!store.exists("a")?, "a removed layer exists while it is viewed")?;
    store.sweep()?;
    same_lines("the view of a removed layer", &Tree::view(&view)?.listing()?, &before)?;
    same("a file in it", Tree::view(&view)?.read("f")?, "one".to_owned())?;
    refused("its check", view.check(), &[Kind::Changed])?;
    store.make(&["a"], |tree| tree.write("f", "another"))?;
    refused("its check with another layer in the place", view.check(), &[Kind::Changed])?;
    same("the file still", Tree::view(&view)?.read("f")?, "one".to_owned())?;
    drop(view);
    store.must_be_clean()
}

fn lasts_replaced(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let view = store.view(&a)?;
    let trash = store.replace(&a, Held::Something, |tree| tree.write("f", "two"))?;
    trash.reclaim(&task())?;
    store.sweep()?;
    same("the view", Tree::view(&view)?.read("f")?, "one".to_owned())?;
    refused("its check", view.check(), &[Kind::Changed])?;
    same("the layer", store.tree(&a)?.read("f")?, "two".to_owned())?;
    drop(view);
    store.must_be_clean()
}

fn ancestor(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    let view = store.view(&b)?;
    let before = Tree::view(&view)?.listing()?;
    store.delete(&a)?;
    store.sweep()?;
    if let Err(error) = view.check() {
        same("the kind", error.kind(), Kind::Changed)?;
    }
    same_lines("the view", &Tree::view(&view)?.listing()?, &before)?;
    match store.view(&b) {
        Ok(again) => same_lines("a new view", &Tree::view(&again)?.listing()?, &before),
        Err(error) => same("the kind of a new view's error", error.kind(), Kind::NotFound),
    }
}

fn several(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    let expected = store.listing(&b)?;
    let views = (0..10).map(|_| store.view(&b)).collect::<storage_core::Result<Vec<_>>>()?;
    for view in views.iter().rev() {
        same_lines("a view", &Tree::view(view)?.listing()?, &expected)?;
        view.check()?;
    }
    Ok(())
}

fn own_files(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| tree.write("below", "").and_then(|()| tree.write("f", "below")))?;
    let b = store.make(&["b", "a"], |tree| {
        if tree.has("f") {
            tree.remove("f")?;
        }
        tree.write("f", "own")
    })?;
    let own = store.shared(|driver| driver.own_files(&b))?;
    own.check()?;
    let tree = Tree::view(&own)?;
    same("the file of its own", tree.read("f")?, "own".to_owned())?;
    let is_whole = store.gate().whiteouts() == Whiteouts::Apply;
    same("whether the tree is whole", tree.has("below"), is_whole)
}

fn own_directory(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let Some(directory) = store.gate().own_directory(&a.id, a.home)? else { return Ok(()) };
    let own = store.shared(|driver| driver.own_files(&a))?;
    let expected = Tree::view(&own)?.listing()?;
    same_lines("the directory", &Tree::at(directory).listing()?, &expected)
}

fn of_mounted(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let mounted = Tree::at(store.mount(&b)?);
    let written = mounted.write("live", "text").and_then(|()| mounted.remove("f"));
    let viewed = store.tree(&b).and_then(|tree| Ok((tree.read("live")?, tree.has("f"), tree.has("d/e/deep"))));
    drop(store.unmount(&b, storage_core::driver::Extent::One)?);
    written?;
    same("what a view shows", viewed?, ("text".to_owned(), false, true))
}
