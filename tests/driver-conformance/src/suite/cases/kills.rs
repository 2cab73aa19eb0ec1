//! Processes that are killed at their work: what they leave is reclaimed by whoever comes next.

use storage_core::driver::{Capability, Extent};

use crate::suite::bench::{Bench, has};
use crate::suite::check::{Checked, must, same};
use crate::suite::store::chain;
use crate::suite::{Case, Need, case};

pub(super) const CASES: &[Case] = &[
    case(
        "kills::while_making",
        "What a process was making when it was killed is no layer, and the next sweep reclaims it.",
        &[],
        making,
    ),
    case(
        "kills::while_reclaiming",
        "What a process had in trash when it was killed is gone as a layer, and the next sweep reclaims it.",
        &[],
        reclaiming,
    ),
    case(
        "kills::while_viewing",
        "A view of a process that was killed holds nothing back, and leaves no mount.",
        &[],
        viewing,
    ),
    case(
        "kills::anywhere",
        "However often a process is killed between making and removing layers, each layer is whole or isn't there, and a \
         sweep leaves nothing else.",
        &[],
        anywhere,
    ),
    case(
        "kills::while_mounted",
        "A mount of a process that was killed is seen, released and made again by others.",
        &[Need::Has(Capability::KernelMounts)],
        mounted,
    ),
    case("kills::holding_a_lock", "Nobody waits for a process that was killed.", &[], lock),
];

fn making(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], super::create::some_tree)?;
    for _ in 0..3 {
        let mut worker = bench.worker(&store, &["fill"])?;
        worker.expect("ready")?;
        worker.kill()?;
    }
    same("the layers", store.list()?, vec!["base".to_owned()])?;
    let swept = store.sweep()?;
    must(swept.reclaimed >= 3, format!("three were killed: {swept:?}"))?;
    store.must_be_clean()
}

fn reclaiming(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], super::create::some_tree)?;
    let mut worker = bench.worker(&store, &["trash", "a"])?;
    worker.expect("ready")?;
    worker.kill()?;
    must(!store.exists("a")?, "a removed layer exists")?;
    let swept = store.sweep()?;
    must(swept.reclaimed >= 1, format!("nothing was reclaimed: {swept:?}"))?;
    store.must_be_clean()
}

fn viewing(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let mut worker = bench.worker(&store, &["view", "a"])?;
    worker.expect("ready")?;
    worker.tell("read")?;
    worker.expect("one")?;
    worker.kill()?;
    must(!store.is_mounted(&a)?, "a mount is left")?;
    store.delete(&a)?;
    store.must_be_clean()
}

fn anywhere(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], super::create::some_tree)?;
    for round in 0..6 {
        let mut worker = bench.worker(&store, &["churn", "base"])?;
        for _ in 0..=round {
            worker.line()?;
        }
        worker.kill()?;
        for name in store.list()? {
            if name == "base" {
                continue;
            }
            let layer = chain(&[&name, "base"])?;
            let tree = store.tree(&layer)?;
            for file in 0..20 {
                same("a file", tree.read(&format!("file{file}"))?, "whole".to_owned())?;
            }
            same("a file below", tree.read("f")?, "one".to_owned())?;
            drop(tree);
            store.edit(&layer, |tree| tree.write("more", ""))?;
            store.delete(&layer)?;
        }
        store.must_be_clean()?;
        same("the layers", store.list()?, vec!["base".to_owned()])?;
        same("strays", store.remove_strays()?, 0)
            .or_else(|_| same("strays after they were removed", store.strays()?, Vec::new()))?;
    }
    Ok(())
}

fn mounted(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("f", "one"))?;
    must(has(&store, Capability::KernelMounts), "no mounts")?;
    let mut worker = bench.worker(&store, &["mount", "a"])?;
    worker.expect("ready")?;
    worker.kill()?;
    must(store.is_mounted(&a)?, "the mount of a killed process isn't seen")?;
    must(store.unmount(&a, Extent::All)?.any(), "there was nothing to release")?;
    store.edit(&a, |tree| same("the file", tree.read("f")?, "one".to_owned()))?;
    store.delete(&a)?;
    store.must_be_clean()
}

fn lock(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["base"], |_| Ok(()))?;
    for _ in 0..4 {
        let mut worker = bench.worker(&store, &["churn", "base"])?;
        worker.line()?;
        worker.kill()?;
        // Whatever lock it held is free.
        store.exclusive(|_| Ok(()))?;
        store.mounting(|_| Ok(()))?;
        for name in store.list()?.iter().filter(|name| *name != "base") {
            store.delete(&chain(&[name, "base"])?)?;
        }
    }
    Ok(())
}
