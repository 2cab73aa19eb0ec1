//! What a comparison of layers tells.

use storage_core::archive::{self, Change, Tree as Compared};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, same_lines};
use crate::suite::store::{Store, task};
use crate::suite::tree::Tree;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "changes::exactly_what_was_changed",
        "Files added, modified and removed among others are told, and nothing else is.",
        &[],
        exact,
    ),
    case(
        "changes::echo",
        "At every depth, a removed directory is one deletion, and one that is made again is told with all in it.",
        &[],
        echo,
    ),
    case("changes::against_nothing", "Against nothing, everything is added.", &[], against_nothing),
    case("changes::of_a_new_child", "A child that was not touched has no changes.", &[], none),
    case("changes::of_metadata", "A change of mode, time, attribute or link target alone is a change.", &[], metadata),
    case("changes::of_owners", "A change of owner alone is a change.", &[Need::Root], owners),
    case(
        "changes::of_layers_that_are_not_related",
        "Layers that don't stand on each other are compared like any two trees.",
        &[],
        unrelated,
    ),
    case(
        "changes::over_several_layers",
        "Against a layer further below, the changes of all layers between are told together.",
        &[],
        several_layers,
    ),
    case(
        "changes::are_those_of_a_walk",
        "Whatever is done to a layer, the driver tells what a walk over both trees finds.",
        &[],
        like_a_walk,
    ),
    case("changes::of_a_mounted_layer", "What is written to a layer that is still mounted is told.", &[], mounted),
];

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn exact(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        (0..20).try_for_each(|number| tree.write(&format!("f{number:02}"), "text"))?;
        tree.dir("d")?;
        tree.write("d/kept", "text")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.write("f03", "another text")?;
        tree.write("f17", "more")?;
        tree.remove("f05")?;
        tree.write("d/new", "")?;
        tree.write("zero", "")
    })?;
    let expected = owned(&["C /d", "A /d/new", "C /f03", "D /f05", "C /f17", "A /zero"]);
    same_lines("changes", &store.changes(&b, Some(&a))?, &expected)
}

fn echo(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    // subdir1/subdir2/…/file
    let paths: Vec<String> = (1..10)
        .scan(String::new(), |path, number| {
            format!("{path}/subdir{number}").trim_start_matches('/').clone_into(path);
            Some(path.clone())
        })
        .collect();
    let file = format!("{}/file", paths[8]);
    let all: Vec<&String> = paths.iter().chain([&file]).collect();
    for depth in 0..all.len() {
        let base_name = format!("base{depth}");
        let base = store.make(&[&base_name], |tree| {
            tree.dir(&paths[8])?;
            tree.write(&file, "text")
        })?;
        let second_name = format!("second{depth}");
        let second = store.make(&[&second_name, &base_name], |_| Ok(()))?;
        store.edit(&second, |tree| tree.remove(all[depth]))?;
        let mut expected: Vec<String> = all[..depth].iter().map(|path| format!("C /{path}")).collect();
        let ancestors = expected.clone();
        expected.push(format!("D /{}", all[depth]));
        same_lines("after the removal", &store.changes(&second, Some(&base))?, &expected)?;
        let third = store.make(&[&format!("third{depth}"), &second_name, &base_name], |_| Ok(()))?;
        store.edit(&third, |tree| {
            tree.dir(&paths[8])?;
            tree.write(&file, "again")
        })?;
        let mut expected = ancestors;
        expected.extend(all[depth..].iter().map(|path| format!("A /{path}")));
        same_lines("made again", &store.changes(&third, Some(&second))?, &expected)?;
    }
    Ok(())
}

fn against_nothing(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |tree| tree.write("own", ""))?;
    let mut expected = owned(&["A /d", "A /d/e", "A /d/e/deep", "A /f", "A /s"]);
    same_lines("the base", &store.changes(&a, None)?, &expected)?;
    expected.insert(4, "A /own".to_owned());
    same_lines("the child", &store.changes(&b, None)?, &expected)
}

fn none(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    same_lines("a child", &store.changes(&b, Some(&a))?, &[])?;
    store.edit(&b, |tree| tree.listing().map(drop))?;
    same_lines("a child that was mounted and read", &store.changes(&b, Some(&a))?, &[])?;
    same_lines("a layer with itself", &store.changes(&a, Some(&a))?, &[])
}

fn metadata(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let mut has_attributes = false;
    let a = store.make(&["a"], |tree| {
        for name in ["attribute", "mode", "same", "time"] {
            tree.write(name, "text")?;
        }
        tree.dir("dir")?;
        has_attributes = tree.attribute("attribute", c"user.one", b"1")?;
        tree.symlink("one", "link")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.mode("mode", 0o600)?;
        tree.time("time", 1, 2)?;
        tree.mode("dir", 0o700)?;
        if has_attributes {
            tree.attribute("attribute", c"user.one", b"2")?;
        }
        tree.remove("link")?;
        tree.symlink("two", "link")
    })?;
    let mut expected = owned(&["C /attribute", "C /dir", "C /link", "C /mode", "C /time"]);
    if !has_attributes {
        expected.remove(0);
    }
    same_lines("changes", &store.changes(&b, Some(&a))?, &expected)
}

fn owners(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        tree.write("file", "text")?;
        tree.write("same", "text")?;
        tree.dir("dir")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        tree.owner("file", 1, 0)?;
        tree.owner("dir", 0, 1)
    })?;
    same_lines("changes", &store.changes(&b, Some(&a))?, &owned(&["C /dir", "C /file"]))
}

fn unrelated(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let fill = |own: &'static str| {
        move |tree: &Tree| {
            tree.dir("d")?;
            tree.write("d/both", "text")?;
            tree.time("d/both", 1_000, 0)?;
            tree.write(own, own)
        }
    };
    let a = store.make(&["a"], fill("one"))?;
    let b = store.make(&["b"], fill("two"))?;
    let c = store.make(&["c", "b"], |tree| tree.remove("two").and_then(|()| tree.write("three", "")))?;
    same_lines("two bases", &store.changes(&a, Some(&b))?, &owned(&["A /one", "D /two"]))?;
    drop(c);
    let parent_with_child = store.changes(&b, Some(&a))?;
    same_lines("the other way", &parent_with_child, &owned(&["D /one", "A /two"]))
}

fn several_layers(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| tree.write("between", "").and_then(|()| tree.remove("s")))?;
    let c = store.make(&["c", "b", "a"], |_| Ok(()))?;
    store.edit(&c, |tree| tree.write("top", "").and_then(|()| tree.write("f", "changed")))?;
    let expected = owned(&["A /between", "C /f", "D /s", "A /top"]);
    same_lines("changes", &store.changes(&c, Some(&a))?, &expected)
}

/// What is done to a layer: one of many small steps, by a number.
fn step(tree: &Tree, number: u32) -> Checked {
    let names = ["a", "b", "d/a", "d/b", "d/e/c", "new", "d/new"];
    let name = names[number as usize % names.len()];
    match number / 7 % 7 {
        0 if !tree.has("d/e") => tree.dir("d/e"),
        1 if tree.has(name) => tree.remove(name),
        2 if tree.has("d") && !tree.has(name) && tree.has("d/e") => tree.write(name, &number.to_string()),
        3 if tree.has(name) => tree.mode(name, 0o600 | (number & 0o177)),
        4 if tree.has("a") && !tree.has("linked") => tree.link("a", "linked"),
        5 if tree.has("d") => tree.remove("d"),
        6 if tree.has(name) => tree.time(name, i64::from(number), 5),
        _ => Ok(()),
    }
}

fn like_a_walk(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| {
        tree.dir("d/e")?;
        ["a", "b", "d/a", "d/b", "d/e/c"].iter().try_for_each(|name| tree.write(name, name))
    })?;
    let mut number = 12_345_u32;
    for round in 0..12 {
        let b = store.make(&[&format!("b{round}"), "a"], |_| Ok(()))?;
        for _ in 0..2 {
            store.edit(&b, |tree| {
                (0..6).try_for_each(|_| {
                    number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345) >> 1;
                    step(tree, number >> 7)
                })
            })?;
        }
        let expected = walked(&mut store, &b, &a)?;
        same_lines(&format!("round {round}"), &store.changes(&b, Some(&a))?, &expected)?;
    }
    Ok(())
}

/// What a walk over two views finds.
fn walked(
    store: &mut Store,
    layer: &storage_core::driver::LayerRef,
    base: &storage_core::driver::LayerRef,
) -> Checked<Vec<String>> {
    let (new, old) = (store.view(layer)?, store.view(base)?);
    let mut lines = Vec::new();
    let mut each = |change: Change| {
        lines.push(change.to_string());
        Ok(())
    };
    let (new, old) = (Compared::plain(new.root()), Compared::plain(old.root()));
    archive::compare(new, Some(old), std::path::Path::new("/"), &task(), &mut each)?;
    Ok(lines)
}

fn mounted(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    let tree = Tree::at(store.mount(&b)?);
    let done = tree.write("live", "text").and_then(|()| tree.remove("f"));
    let found = store.changes(&b, Some(&a));
    drop(store.unmount(&b, storage_core::driver::Extent::One)?);
    done?;
    same_lines("while it is mounted", &found?, &owned(&["D /f", "A /live"]))
}
