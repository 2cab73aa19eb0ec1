//! Several threads of one process at one store.

use std::sync::{Arc, Barrier};

use storage_core::Kind;
use storage_core::driver::{Plan, Start};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, fail, same, same_lines};
use crate::suite::store::{Store, chain};
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "threads::make_look_and_remove",
        "Threads that make, compare and remove layers of their own at the same time don't disturb each other.",
        &[],
        all_at_once,
    ),
    case(
        "threads::one_of_many_gets_an_id",
        "Of several threads that commit one id, one wins and the others are told that it is taken.",
        &[],
        race,
    ),
    case(
        "threads::a_sweep_beside_makers",
        "Sweeping without pause takes nothing from threads that make layers.",
        &[],
        sweeping,
    ),
    case(
        "threads::many_look_at_one_layer",
        "Many threads view, compare and pack one layer at the same time, and all see the same.",
        &[],
        lookers,
    ),
];

/// Runs `body` in `count` threads with a store of each one's own over the same driver, and gives what each came to.
fn in_threads<T: Send>(
    store: &Store,
    count: usize,
    body: impl Fn(usize, &mut Store) -> Checked<T> + Sync,
) -> Checked<Vec<T>> {
    let start = Barrier::new(count);
    let (request, shared) = (&store.request, &store.shared);
    std::thread::scope(|scope| {
        let one = |number| {
            let (start, body) = (&start, &body);
            scope.spawn(move || {
                start.wait();
                body(number, &mut Store::again(request, &Arc::clone(shared))?)
            })
        };
        let threads: Vec<_> = (0..count).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| fail("a thread panicked"))).collect()
    })
}

fn all_at_once(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let base = store.make(&["base"], super::create::some_tree)?;
    in_threads(&store, 4, |thread, store| {
        for number in 0..6 {
            let name = format!("t{thread}-{number}");
            let layer = store.make(&[&name, "base"], |tree| tree.write("own", &name))?;
            same("its file", store.tree(&layer)?.read("own")?, name.clone())?;
            same_lines("its changes", &store.changes(&layer, Some(&base))?, &["A /own".to_owned()])?;
            if number % 2 == 0 {
                store.delete(&layer)?;
            }
        }
        Ok(())
    })?;
    let mut expected: Vec<String> =
        (0..4).flat_map(|thread| [1, 3, 5].map(|number| format!("t{thread}-{number}"))).collect();
    expected.insert(0, "base".to_owned());
    same("the layers", store.list()?, expected)?;
    store.must_be_clean()
}

fn race(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    for round in 0..5 {
        let name = format!("wanted{round}");
        let won = in_threads(&store, 4, |thread, store| {
            let mut staged = store.begin(&Plan::new(Start::OnParent(None)))?;
            crate::suite::tree::Tree::staged(&*staged)?.write("winner", &thread.to_string())?;
            match store.commit(&mut *staged, &name) {
                Ok(()) => Ok(Some(thread)),
                Err(error) if error.kind() == Kind::DuplicateId => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        let winners: Vec<usize> = won.into_iter().flatten().collect();
        same("the number of winners", winners.len(), 1)?;
        let told = store.tree(&chain(&[&name])?)?.read("winner")?;
        same("whose layer it is", told, winners[0].to_string())?;
    }
    store.must_be_clean()
}

fn sweeping(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], |tree| tree.write("f", ""))?;
    in_threads(&store, 3, |thread, store| {
        for number in 0..8 {
            if thread == 0 {
                store.sweep()?;
                continue;
            }
            let name = format!("t{thread}-{number}");
            let layer = store.make(&[&name, "base"], |tree| tree.write("own", &name))?;
            same("its file", store.tree(&layer)?.read("own")?, name)?;
            drop(store.remove(&layer)?);
        }
        Ok(())
    })?;
    same("the layers", store.list()?, vec!["base".to_owned()])?;
    store.must_be_clean()
}

fn lookers(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], super::create::some_tree)?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| tree.write("own", "").and_then(|()| tree.remove("f")))?;
    let seen = in_threads(&store, 6, |_, store| {
        Ok((store.listing(&b)?, store.changes(&b, Some(&a))?, store.diff(&b, Some(&a))?))
    })?;
    same("all that was seen", seen.iter().all(|each| *each == seen[0]), true)?;
    same_lines("the changes", &seen[0].1, &["D /f".to_owned(), "A /own".to_owned()])
}
