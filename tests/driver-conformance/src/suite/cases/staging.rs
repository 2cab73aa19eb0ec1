//! A layer in the making: what nobody sees, what makes it a layer, and what is left when it isn't.

use storage_core::driver::{Plan, Staged, Start};
use storage_core::fs::tempdir::rename_no_replace;
use storage_core::{Cancel, Kind, Task};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, must, refused, same, same_lines, skip};
use crate::suite::store::chain;
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "staging::nothing_is_seen_before_the_commit",
        "A layer in the making is neither there nor listed, whatever it holds, until it is committed.",
        &[],
        unseen,
    ),
    case(
        "staging::what_is_dropped_leaves_nothing",
        "Dropping a layer in the making, at any point, leaves nothing of it.",
        &[],
        dropped,
    ),
    case(
        "staging::a_taken_id_is_refused",
        "A commit under an id that has a place is refused, and the layer there stays as it was.",
        &[],
        taken,
    ),
    case(
        "staging::a_failed_commit_can_be_tried_under_another_id",
        "What could not be committed under a taken id can be committed under a free one.",
        &[],
        other_id,
    ),
    case(
        "staging::a_parent_that_was_removed_is_noticed",
        "A commit fails when the parent was removed since the layer was begun.",
        &[],
        parent_removed,
    ),
    case(
        "staging::a_parent_that_was_made_anew_is_noticed",
        "A commit fails when another layer has the parent's id by now.",
        &[],
        parent_anew,
    ),
    case(
        "staging::a_staging_place_that_was_taken_away_is_noticed",
        "A commit fails when the staging place is not the one that it began with.",
        &[],
        place_taken,
    ),
    case(
        "staging::the_identity_goes_with_the_content",
        "What tells a layer in the making from others tells the layer after the commit, and after the driver is opened anew.",
        &[],
        identity,
    ),
    case(
        "staging::filling_stops_when_it_is_asked_to",
        "Filling with a copy ends with an error when the task is cancelled, and leaves nothing.",
        &[],
        cancelled,
    ),
    case(
        "staging::a_sweep_leaves_what_is_being_made",
        "A sweep doesn't touch a layer in the making of a process that lives.",
        &[],
        swept_around,
    ),
    case(
        "staging::an_unknown_option_is_refused",
        "An option of a layer that the driver doesn't know is refused, and nothing is made.",
        &[],
        unknown_option,
    ),
    case(
        "staging::several_are_made_at_once",
        "Several layers in the making don't know of each other, and can be committed in any order.",
        &[],
        several,
    ),
];

fn on(names: &[&str]) -> storage_core::Result<Plan> {
    Ok(Plan::new(Start::OnParent(if names.is_empty() { None } else { Some(chain(names)?) })))
}

fn filled(staged: &dyn Staged) -> Checked {
    let tree = Tree::staged(staged)?;
    tree.dir("d")?;
    tree.write("d/f", "one")
}

fn unseen(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    let mut staged = store.begin(&on(&["a"])?)?;
    filled(&*staged)?;
    same("the layers before", store.list()?, vec!["a".to_owned()])?;
    must(!store.exists("b")?, "it exists before its commit")?;
    store.commit(&mut *staged, "b")?;
    same("the layers after", store.list()?, vec!["a".to_owned(), "b".to_owned()])?;
    must(store.exists("b")?, "it doesn't exist after its commit")?;
    drop(staged);
    let tree = store.tree(&chain(&["b", "a"])?)?;
    same("what it holds", tree.read("d/f")?, "one".to_owned())?;
    store.must_be_clean()
}

fn dropped(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| tree.write("f", "one"))?;
    for names in [&[][..], &["a"]] {
        let plan = on(names)?;
        drop(store.shared(|driver| driver.begin(&plan))?);
        drop(store.begin(&plan)?);
        let staged = store.begin(&plan)?;
        filled(&*staged)?;
        drop(staged);
        store.must_be_clean()?;
    }
    same("the layers", store.list()?, vec!["a".to_owned()])
}

fn taken(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let (before, identity) = (store.listing(&a)?, store.identity(&a)?);
    let mut staged = store.begin(&on(&[])?)?;
    filled(&*staged)?;
    refused("a commit under a taken id", store.commit(&mut *staged, "a"), &[Kind::DuplicateId])?;
    drop(staged);
    same("the identity of the layer", store.identity(&a)?, identity)?;
    same_lines("the layer", &store.listing(&a)?, &before)?;
    store.must_be_clean()
}

fn other_id(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    let mut staged = store.begin(&on(&[])?)?;
    filled(&*staged)?;
    refused("a commit under a taken id", store.commit(&mut *staged, "a"), &[Kind::DuplicateId])?;
    store.commit(&mut *staged, "b")?;
    drop(staged);
    same("what it holds", store.tree(&chain(&["b"])?)?.read("d/f")?, "one".to_owned())?;
    store.must_be_clean()
}

fn parent_removed(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut staged = store.begin(&on(&["a"])?)?;
    filled(&*staged)?;
    store.delete(&a)?;
    refused("a commit on a removed parent", store.commit(&mut *staged, "b"), &[Kind::Changed])?;
    drop(staged);
    must(!store.exists("b")?, "there is a layer though its commit failed")?;
    store.must_be_clean()
}

fn parent_anew(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut staged = store.begin(&on(&["a"])?)?;
    store.delete(&a)?;
    store.make(&["a"], |tree| tree.write("f", "two"))?;
    refused("a commit on another parent", store.commit(&mut *staged, "b"), &[Kind::Changed])?;
    drop(staged);
    must(!store.exists("b")?, "there is a layer though its commit failed")?;
    store.must_be_clean()
}

fn place_taken(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let homes = store.gate().staging_homes()?;
    if homes.is_empty() {
        return skip("the driver tells no directory of staging");
    }
    let mut staged = store.begin(&on(&[])?)?;
    filled(&*staged)?;
    for home in homes {
        for name in Tree::at(&home).names("")? {
            if name.starts_with("temp-dir-") {
                rename_no_replace(&home.join(&name), &home.join(format!("{name}0")))?;
                std::fs::create_dir(home.join(&name))
                    .map_err(|error| storage_core::Error::os("mkdir", &home, error))?;
            }
        }
    }
    refused("a commit from another place", store.commit(&mut *staged, "b"), &[Kind::Changed])?;
    drop(staged);
    must(!store.exists("b")?, "there is a layer though its commit failed")?;
    store.must_be_clean()
}

fn identity(bench: &Bench) -> Checked {
    let roots = bench.roots()?;
    let mut store = bench.store_on(&roots)?;
    let other = store.make(&["other"], |_| Ok(()))?;
    let mut staged = store.begin(&on(&["other"])?)?;
    filled(&*staged)?;
    let before = staged.identity()?;
    store.commit(&mut *staged, "b")?;
    drop(staged);
    let b = chain(&["b", "other"])?;
    same("after the commit", store.identity(&b)?, before.clone())?;
    must(store.identity(&other)? != before, "two layers have one identity")?;
    drop(store);
    same("opened anew", bench.store_on(&roots)?.identity(&b)?, before)
}

fn cancelled(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let layer = store.make(&["a"], |tree| (0..50).try_for_each(|file| tree.write(&format!("f{file}"), "text")))?;
    let plan = Plan::new(Start::Replacing { layer, empty: false });
    let mut staged = store.shared(|driver| driver.begin(&plan))?;
    let cancel = Cancel::default();
    cancel.cancel();
    let filled = staged.fill(&Task::new("fill").cancelled_by(cancel));
    refused("filling after the task was cancelled", filled, &[Kind::Cancelled])?;
    drop(staged);
    store.must_be_clean()
}

fn swept_around(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let mut staged = store.begin(&on(&[])?)?;
    filled(&*staged)?;
    let swept = store.sweep()?;
    same("what was reclaimed", swept.reclaimed, 0)?;
    store.commit(&mut *staged, "a")?;
    same("what it holds", store.tree(&chain(&["a"])?)?.read("d/f")?, "one".to_owned())
}

fn unknown_option(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let mut plan = on(&[])?;
    plan.options = vec![("no-such-option".to_owned(), "1".to_owned())];
    refused("an unknown option", store.begin(&plan), &[Kind::Usage, Kind::NotSupported])?;
    store.must_be_clean()
}

fn several(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut all = Vec::new();
    for number in 0..4 {
        let staged = store.begin(&on(&["a"])?)?;
        Tree::staged(&*staged)?.write("own", &number.to_string())?;
        all.push((number, staged));
    }
    for (number, mut staged) in all.into_iter().rev() {
        store.commit(&mut *staged, &format!("b{number}"))?;
    }
    for number in 0..4 {
        let tree = store.tree(&chain(&[&format!("b{number}"), "a"])?)?;
        same("what it holds", (tree.read("own")?, tree.read("f")?), (number.to_string(), "one".to_owned()))?;
    }
    store.must_be_clean()
}
