//! The archive of what a layer changes, its size, and its end.

use storage_core::driver::Comparison;
use storage_core::{Cancel, Error, Kind, Task};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, must, refused, same, same_lines};
use crate::suite::store::{Store, lines, task};
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "diff::applied_to_another_child_gives_the_same_tree",
        "The archive of a layer's changes makes the same tree of any other child of the same parent.",
        &[],
        applied,
    ),
    case(
        "diff::of_a_base_is_its_whole_tree",
        "The archive of a layer against nothing makes the same tree of an empty layer.",
        &[],
        whole,
    ),
    case(
        "diff::its_size_is_that_of_what_changed",
        "The size of a diff is the bytes of the files added or modified, each file once.",
        &[],
        size,
    ),
    case("diff::is_the_same_each_time", "Two archives of the same changes are the same bytes.", &[], steady),
    case(
        "diff::has_no_end_when_the_last_question_fails",
        "When the caller's last question fails, the archive has no valid end, and the error is the caller's.",
        &[],
        no_end,
    ),
    case("diff::stops_when_it_is_asked_to", "A diff ends with an error when its task is cancelled.", &[], cancelled),
    case(
        "diff::needs_no_lock",
        "A comparison that was begun goes on while somebody else holds the store exclusively.",
        &[],
        without_lock,
    ),
    case(
        "diff::notices_that_a_layer_was_removed",
        "A comparison tells when the layer or its base was removed meanwhile, and not before.",
        &[],
        removed,
    ),
    case(
        "diff::notices_that_a_layer_was_replaced",
        "A comparison tells when the content of the layer was replaced meanwhile.",
        &[],
        replaced,
    ),
    case("diff::stops_with_the_caller", "An error of who takes the changes ends the comparison.", &[], stops),
];

fn edited(store: &mut Store) -> Checked<[storage_core::driver::LayerRef; 2]> {
    let a = store.make(&["a"], |tree| {
        super::create::some_tree(tree)?;
        (0..10).try_for_each(|number| tree.write(&format!("d/file{number}"), "text"))?;
        tree.write("linked", "several names")
    })?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    store.edit(&b, |tree| {
        (0..5).try_for_each(|number| tree.write(&format!("d/file{number}"), "another text"))?;
        tree.remove("d/e")?;
        tree.remove("s")?;
        tree.dir("new/dir")?;
        tree.write("new/dir/file", "new")?;
        tree.mode("new/dir/file", 0o4711)?;
        tree.link("new/dir/file", "new/linked")?;
        tree.fifo("new/pipe")?;
        tree.symlink("dir/file", "new/link")
    })?;
    Ok([a, b])
}

fn applied(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let archive = store.diff(&b, Some(&a))?;
    let (c, _) = store.import(&["c", "a"], &archive)?;
    let expected = store.listing(&b)?;
    same_lines("the tree", &store.listing(&c)?, &expected)?;
    let changes = store.changes(&b, Some(&a))?;
    same_lines("the changes", &store.changes(&c, Some(&a))?, &changes)?;
    same_lines("between both", &store.changes(&c, Some(&b))?, &[])
}

fn whole(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [_, b] = edited(&mut store)?;
    let archive = store.diff(&b, None)?;
    let (c, _) = store.import(&["c"], &archive)?;
    let expected = store.listing(&b)?;
    same_lines("the tree", &store.listing(&c)?, &expected)
}

fn size(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let a = store.make(&["a"], |tree| tree.write("large", &"x".repeat(100_000)))?;
    let b = store.make(&["b", "a"], |_| Ok(()))?;
    same("of no changes", store.compare(&b, Some(&a))?.size(&task())?, 0)?;
    store.edit(&b, |tree| {
        tree.write("one", &"y".repeat(10_000))?;
        tree.link("one", "two")?;
        tree.dir("d")?;
        tree.write("d/three", &"z".repeat(777))
    })?;
    same("of the changes", store.compare(&b, Some(&a))?.size(&task())?, 10_777)?;
    same("against nothing", store.compare(&b, None)?.size(&task())?, 110_777)
}

fn steady(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let one = store.diff(&b, Some(&a))?;
    must(one == store.diff(&b, Some(&a))?, "two archives of the same changes differ")?;
    let whole = store.diff(&b, None)?;
    must(whole == store.diff(&b, None)?, "two archives of the same tree differ")
}

fn no_end(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let whole = store.diff(&b, Some(&a))?;
    for base in [Some(&a), None] {
        let mut archive = Vec::new();
        let mut question = || Err(Error::new(Kind::Changed, "the last question"));
        let packed = store.compare(&b, base)?.pack(&mut archive, &mut question, &task());
        refused("an archive whose last question fails", packed, &[Kind::Changed])?;
        let ends = archive.len() >= 1024 && archive[archive.len() - 1024..].iter().all(|byte| *byte == 0);
        must(!ends, "the archive has an end all the same")?;
        must(archive.len() < whole.len() || base.is_none(), "all of the archive was written")?;
    }
    Ok(())
}

fn cancelled(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let cancel = Cancel::default();
    cancel.cancel();
    let task = Task::new("diff").cancelled_by(cancel);
    for base in [Some(&a), None] {
        let compared = store.compare(&b, base)?;
        let packed = compared.pack(&mut Vec::new(), &mut || Ok(()), &task);
        refused("an archive after the task was cancelled", packed, &[Kind::Cancelled])?;
        refused("changes after that", compared.changes(&task, &mut |_| Ok(())), &[Kind::Cancelled])?;
        refused("a size after that", compared.size(&task), &[Kind::Cancelled])?;
    }
    Ok(())
}

fn without_lock(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let expected = store.changes(&b, Some(&a))?;
    let compared = store.compare(&b, Some(&a))?;
    let found = store.exclusive(|_| {
        let mut archive = Vec::new();
        compared.pack(&mut archive, &mut || compared.check(), &task())?;
        lines(&*compared)
    })?;
    same_lines("the changes", &found, &expected)
}

fn removed(bench: &Bench) -> Checked {
    for gone in [0, 1] {
        let mut store = bench.store()?;
        let both = edited(&mut store)?;
        let compared: Box<dyn Comparison> = store.compare(&both[1], Some(&both[0]))?;
        compared.check()?;
        lines(&*compared)?;
        compared.check()?;
        drop(store.remove(&both[gone])?);
        refused("the check after a removal", compared.check(), &[Kind::Changed])?;
    }
    Ok(())
}

fn replaced(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let compared = store.compare(&b, Some(&a))?;
    let trash = store.replace(&b, crate::suite::store::Held::Something, |tree| tree.write("other", ""))?;
    refused("the check after a replacement", compared.check(), &[Kind::Changed])?;
    drop(compared);
    trash.reclaim(&task())?;
    store.compare(&b, Some(&a))?.check()?;
    store.must_be_clean()
}

fn stops(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let [a, b] = edited(&mut store)?;
    let compared = store.compare(&b, Some(&a))?;
    let mut told = 0;
    let ended = compared.changes(&task(), &mut |_| {
        told += 1;
        Err(Error::new(Kind::TooLarge, "take a change"))
    });
    refused("changes that nobody takes", ended, &[Kind::TooLarge])?;
    same("how many were told", told, 1)
}
