//! Removing layers, trash, and what a sweep reclaims.

use std::os::fd::AsFd;
use std::time::Instant;

use storage_core::Kind;
use storage_core::driver::{Home, Trash};
use storage_core::sys::btrfs;

use crate::grounds::Filesystem;
use crate::suite::bench::Bench;
use crate::suite::check::{Checked, Step, must, refused, same, same_lines, skip};
use crate::suite::store::{chain, id, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "remove::a_layer_is_gone_at_once",
        "A removed layer doesn't exist and isn't listed from then on; reclaiming it leaves nothing.",
        &[],
        gone,
    ),
    case(
        "remove::a_layer_that_is_not_there",
        "Removing what has no place is no error and reclaims nothing.",
        &[],
        absent,
    ),
    case(
        "remove::trash_that_is_dropped_is_swept",
        "Trash that nobody reclaimed is reclaimed by the next sweep.",
        &[],
        swept,
    ),
    case(
        "remove::an_id_can_be_used_again",
        "A layer made under the id of a removed one, whose trash is still there, holds its own content only.",
        &[],
        again,
    ),
    case("remove::a_child_leaves_its_parent", "Removing a child leaves its parent as it was.", &[], parent_stays),
    case(
        "remove::a_sweep_keeps_its_time",
        "A sweep past its deadline reclaims something, and says how much it left.",
        &[],
        deadline,
    ),
    case("remove::reclaiming_twice_at_once", "Reclaiming what a sweep has reclaimed already is no error.", &[], twice),
    case(
        "remove::a_file_that_can_not_be_changed",
        "A layer with a file marked immutable is removed with it.",
        &[Need::Root],
        immutable,
    ),
    case(
        "remove::nested_subvolumes",
        "A layer in which somebody made subvolumes is removed with them, and a child shows what they hold.",
        &[Need::Root, Need::On(Filesystem::Btrfs)],
        nested,
    ),
    case(
        "remove::a_home_that_is_not_ones_own",
        "Nothing is removed from a home that the store doesn't write to.",
        &[],
        foreign,
    ),
];

fn gone(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    store.edit(&b, |tree| tree.write("more", ""))?;
    let trash = store.remove(&b)?;
    must(!store.exists("b")?, "it exists after it was removed")?;
    same("the list", store.list()?, vec!["a".to_owned()])?;
    refused("its view", store.view(&b), &[Kind::NotFound])?;
    trash.reclaim(&task())?;
    store.must_be_clean()
}

fn absent(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.delete(&chain(&["nobody"])?)?;
    let a = store.make(&["a"], |_| Ok(()))?;
    store.delete(&a)?;
    store.delete(&a)?;
    store.must_be_clean()
}

fn swept(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    drop(store.remove(&a)?);
    let swept = store.sweep()?;
    must(swept.reclaimed > 0, format!("nothing was reclaimed: {swept:?}"))?;
    store.must_be_clean()?;
    same("a second sweep", store.sweep()?, storage_core::driver::Swept::default())
}

fn again(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("one", ""))?;
    let first = store.remove(&a)?;
    store.make(&["a"], |tree| tree.write("two", ""))?;
    let second = store.remove(&a)?;
    store.make(&["a"], |tree| tree.write("three", ""))?;
    first.reclaim(&task())?;
    same("its names", store.tree(&a)?.names(".")?, vec!["three".to_owned()])?;
    second.reclaim(&task())?;
    same("its names", store.tree(&a)?.names(".")?, vec!["three".to_owned()])?;
    store.must_be_clean()
}

fn parent_stays(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let before = (store.listing(&a)?, store.identity(&a)?);
    for _ in 0..3 {
        let b = store.make(&["b", "a"], |tree| tree.remove_if_there("f"))?;
        store.edit(&b, |tree| tree.write("own", ""))?;
        store.delete(&b)?;
    }
    same("the parent", (store.listing(&a)?, store.identity(&a)?), before)?;
    store.must_be_clean()
}

fn deadline(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    for number in 0..4 {
        let layer = store.make(&[&format!("l{number}")], |tree| tree.write("f", ""))?;
        drop(store.remove(&layer)?);
    }
    let swept = store.gate().sweep(Instant::now(), &task())?;
    must(swept.left > 0, format!("a sweep without time left nothing: {swept:?}"))?;
    must(swept.reclaimed <= 1, format!("a sweep without time went on: {swept:?}"))?;
    store.must_be_clean()
}

fn twice(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| (0..200).try_for_each(|file| tree.write(&format!("f{file}"), "")))?;
    let trash: Box<dyn Trash> = store.remove(&a)?;
    let swept = std::thread::scope(|scope| {
        let other =
            scope.spawn(|| (0..20).try_for_each(|_| store.shared.gate.sweep(Instant::now(), &task()).map(drop)));
        let done = trash.reclaim(&task());
        other.join().map(|swept| swept.and(done))
    });
    match swept {
        Ok(swept) => swept?,
        Err(_) => return crate::suite::check::fail("a sweep panicked"),
    }
    store.must_be_clean()
}

fn immutable(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        tree.dir("d")?;
        tree.write("d/fixed", "")?;
        let file = std::fs::File::open(tree.path("d/fixed")).step("open", "d/fixed")?;
        match rustix::fs::ioctl_setflags(&file, rustix::fs::IFlags::IMMUTABLE) {
            Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP) => skip("the filesystem has no such mark"),
            done => done.step("ioctl(FS_IOC_SETFLAGS)", "d/fixed"),
        }
    })?;
    store.delete(&a)?;
    store.must_be_clean()
}

fn nested(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |_| Ok(()))?;
    store.edit(&a, |tree| {
        for (dir, name) in [("", "s"), ("s", "t"), ("", "u")] {
            let parent = std::fs::File::open(tree.path(dir)).step("open", dir)?;
            btrfs::create_subvolume(parent.as_fd(), name.as_ref()).step("create subvolume", name)?;
            tree.write(format!("{dir}/{name}/f").trim_start_matches('/'), name)?;
        }
        Ok(())
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let expected = store.listing(&a)?;
    same("the entries", expected.len(), 6)?;
    same_lines("the child", &store.listing(&b)?, &expected)?;
    for layer in [&b, &a] {
        store.delete(layer)?;
    }
    store.must_be_clean()
}

fn foreign(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let id = id("a")?;
    let removed = store.exclusive(|driver| driver.remove(&id, Home::Additional(0)));
    refused("a removal", removed, &[Kind::ReadOnlyStore, Kind::NotSupported])
}

impl Tree {
    /// Removes `name` where it is: a layer in the making that copies has what its parent has, one that stacks hasn't.
    pub(in crate::suite) fn remove_if_there(&self, name: &str) -> Checked {
        if self.has(name) { self.remove(name) } else { Ok(()) }
    }
}
