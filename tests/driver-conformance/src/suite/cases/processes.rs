//! Several processes at one store.

use storage_core::Kind;
use storage_core::driver::{Plan, Start};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, must, refused, same};
use crate::suite::store::chain;
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "processes::make_look_and_remove",
        "Processes that make and remove layers of their own at the same time don't disturb each other.",
        &[],
        all_at_once,
    ),
    case(
        "processes::one_of_many_gets_an_id",
        "Of several processes that commit one id, one wins and the others are told that it is taken.",
        &[],
        race,
    ),
    case(
        "processes::see_what_others_made",
        "What another process made or removed since the driver was opened is there, or isn't.",
        &[],
        seen,
    ),
    case(
        "processes::a_layer_in_the_making_of_another_is_left",
        "A sweep doesn't touch what another process is making.",
        &[],
        staging,
    ),
    case(
        "processes::a_view_of_another_holds_its_layer_back",
        "A layer that another process views is whole for it after it was removed, reclaimed and swept here, and is \
         reclaimed after.",
        &[],
        viewed,
    ),
    case(
        "processes::trash_of_another_is_left_to_it",
        "What another process has in trash is reclaimed by one of both, without an error.",
        &[],
        trash,
    ),
];

fn all_at_once(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], super::create::some_tree)?;
    let mut workers = Vec::new();
    for number in 0..3 {
        workers.push(bench.worker(&store, &["make", &format!("w{number}-"), "6"])?);
    }
    for _ in 0..5 {
        store.sweep()?;
        store.list()?;
    }
    for mut worker in workers {
        worker.expect("done")?;
        worker.finish()?;
    }
    let mut expected: Vec<String> =
        (0..3).flat_map(|worker| [1, 2, 4, 5].map(|number| format!("w{worker}-{number}"))).collect();
    expected.insert(0, "base".to_owned());
    same("the layers", store.list()?, expected)?;
    for worker in 0..3 {
        let name = format!("w{worker}-4");
        let tree = store.tree(&chain(&[&name, "base"])?)?;
        same("a layer", (tree.read("own")?, tree.read("f")?), (name.clone(), "one".to_owned()))?;
    }
    store.must_be_clean()
}

fn race(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(bench.worker(&store, &["race", "wanted"])?);
    }
    for worker in &mut workers {
        worker.expect("ready")?;
    }
    for worker in &mut workers {
        worker.tell("go")?;
    }
    let mut winners = Vec::new();
    for mut worker in workers {
        let line = worker.line()?;
        match line.strip_prefix("won ") {
            Some(winner) => winners.push(winner.to_owned()),
            None => same("the loser's word", line, "lost".to_owned())?,
        }
        worker.finish()?;
    }
    same("the number of winners", winners.len(), 1)?;
    same("whose layer it is", store.tree(&chain(&["wanted"])?)?.read("winner")?, winners[0].clone())?;
    store.must_be_clean()
}

fn seen(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], |tree| tree.write("f", "one"))?;
    let mut worker = bench.worker(&store, &["make", "w", "2"])?;
    worker.expect("done")?;
    worker.finish()?;
    same("the layers", store.list()?, vec!["base".to_owned(), "w1".to_owned()])?;
    must(store.exists("w1")? && !store.exists("w0")?, "what the other process did isn't seen")?;
    let child = store.make(&["child", "w1", "base"], |_| Ok(()))?;
    same("a child of the other's layer", store.tree(&child)?.read("own")?, "w1".to_owned())?;
    let mut gone = bench.worker(&store, &["trash", "child"])?;
    gone.expect("ready")?;
    must(!store.exists("child")?, "what the other process removed still exists")?;
    refused("its view", store.view(&child), &[Kind::NotFound])?;
    gone.finish()?;
    store.must_be_clean()
}

fn staging(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], |_| Ok(()))?;
    let mut worker = bench.worker(&store, &["race", "other"])?;
    worker.expect("ready")?;
    let swept = store.sweep()?;
    same("what was reclaimed", swept.reclaimed, 0)?;
    worker.tell("go")?;
    must(worker.line()?.starts_with("won"), "its commit failed after a sweep")?;
    worker.finish()?;
    must(store.tree(&chain(&["other"])?)?.has("winner"), "its file is gone")?;
    store.must_be_clean()
}

fn viewed(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut worker = bench.worker(&store, &["view", "a"])?;
    worker.expect("ready")?;
    worker.tell("read")?;
    worker.expect("one")?;
    store.delete(&a)?;
    store.sweep()?;
    worker.tell("read")?;
    worker.expect("one")?;
    store.make(&["a"], |tree| tree.write("f", "two"))?;
    worker.tell("read")?;
    worker.expect("one")?;
    worker.finish()?;
    store.must_be_clean()
}

fn trash(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |tree| (0..100).try_for_each(|file| tree.write(&format!("f{file}"), "")))?;
    let mut worker = bench.worker(&store, &["trash", "a"])?;
    worker.expect("ready")?;
    store.sweep()?;
    worker.finish()?;
    let mut staged = store.begin(&Plan::new(Start::OnParent(None)))?;
    Tree::staged(&*staged)?.write("f", "")?;
    store.commit(&mut *staged, "a")?;
    drop(staged);
    store.must_be_clean()
}
