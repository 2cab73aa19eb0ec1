//! A stream that stalls makes nobody wait: while it stands still, locks are free and other processes finish their work.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use integration::case::{Case, case};
use integration::store::{Store, finish, id};
use integration::{Outcome, Scratch, archive, invariants, machine};

pub(crate) const CASES: &[Case] = &[
    case("stall::a_diff_whose_reader_stalls::overlay", 60, |s| stalled_diff(s, "overlay")),
    case("stall::a_diff_whose_reader_stalls::vfs", 60, |s| stalled_diff(s, "vfs")),
    case("stall::a_diff_whose_reader_stalls::btrfs", 60, |s| stalled_diff(s, "btrfs")),
    case("stall::a_computed_diff_whose_reader_stalls::overlay", 60, |s| stalled_computed_diff(s, "overlay")),
    case("stall::a_computed_diff_whose_reader_stalls::vfs", 60, |s| stalled_computed_diff(s, "vfs")),
    case("stall::a_computed_diff_whose_reader_stalls::btrfs", 60, |s| stalled_computed_diff(s, "btrfs")),
    case("stall::an_import_whose_pipe_stalls::overlay", 60, |s| stalled_import(s, "overlay")),
    case("stall::an_import_whose_pipe_stalls::vfs", 60, |s| stalled_import(s, "vfs")),
    case("stall::an_import_whose_pipe_stalls::btrfs", 60, |s| stalled_import(s, "btrfs")),
    case("stall::a_diff_fails_when_its_layer_is_deleted::overlay", 60, |s| deleted_under_a_diff(s, "overlay")),
    case("stall::a_diff_fails_when_its_layer_is_deleted::vfs", 60, |s| deleted_under_a_diff(s, "vfs")),
    case("stall::a_diff_fails_when_its_layer_is_deleted::btrfs", 60, |s| deleted_under_a_diff(s, "btrfs")),
];

/// What others do meanwhile. If anything of it waited for the stream, it would never end: the stream goes on only later.
fn others_work(store: &Store, stalled: &mut Child) {
    let held = invariants::held_locks(store);
    assert!(held.is_empty(), "held while the stream stands still: {held:?}");
    let base = id("base");
    for round in 0..3 {
        let layer = id(format!("meanwhile {round}"));
        store.create(&layer, Some(&base));
        fs::write(store.mount(&layer).join("file"), "meanwhile").expect("write in a mounted layer");
        store.unmount(&layer);
        assert!(store.ids().contains(&layer), "a third process lists the new layer");
        assert_eq!(store.ok(&["exists", &layer]), format!("{layer}: true\n"));
        store.delete(&layer);
        assert!(!store.ids().contains(&layer), "a third process no longer lists it");
    }
    let held = invariants::held_locks(store);
    assert!(held.is_empty(), "held while the stream stands still: {held:?}");
    assert!(stalled.try_wait().expect("look at the stream").is_none(), "the stream is still there, so it was stalled");
}

fn start_and_stall(store: &Store, layer: &str) -> (Child, Vec<u8>) {
    let mut diff = store.start(&["diff", "-u", layer]);
    let mut begin = vec![0; 4096];
    diff.stdout.as_mut().expect("a pipe").read_exact(&mut begin).expect("the stream begins");
    (diff, begin)
}

fn finish_stream(mut diff: Child, begin: Vec<u8>) -> (std::process::ExitStatus, String, Vec<u8>) {
    let mut all = begin;
    diff.stdout.take().expect("a pipe").read_to_end(&mut all).expect("read the rest of the stream");
    let (status, errors) = finish(diff);
    (status, errors, all)
}

fn big_base(scratch: &Scratch, store: &Store) -> Vec<u8> {
    let archive = archive::small(scratch.path(), "big", 400, 40_000);
    store.import(&id("base"), None, &archive);
    fs::read(archive).expect("read an archive")
}

pub(crate) fn stalled_diff(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let content = big_base(scratch, &store);
    let (mut diff, begin) = start_and_stall(&store, &id("base"));
    others_work(&store, &mut diff);
    let (status, errors, all) = finish_stream(diff, begin);
    assert!(status.success(), "the diff ends well after the stall: {errors}");
    assert!(all == content, "and is the archive, byte for byte");
    Ok(())
}

pub(crate) fn stalled_computed_diff(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    big_base(scratch, &store);
    let child = id("child");
    store.create(&child, Some(&id("base")));
    let root = store.mount(&child);
    for number in 0..200 {
        archive::put(&root, &format!("more/{number}"), vec![3_u8; 30_000]);
    }
    store.unmount(&child);
    let (mut diff, begin) = start_and_stall(&store, &child);
    others_work(&store, &mut diff);
    let (status, errors, all) = finish_stream(diff, begin);
    assert!(status.success(), "the diff ends well after the stall: {errors}");
    assert!(all == store.diff(&child), "and is what a diff without a stall gives");
    Ok(())
}

pub(crate) fn stalled_import(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let content = big_base(scratch, &store);
    let layer = id("through a pipe");
    let pipe = scratch.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    let mut command = store.command();
    command.args(["import-layer", "-i", &layer, "-f"]).arg(&pipe).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut import = command.spawn().expect("start an import");
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).expect("open a pipe");
    writer.write_all(&content[..content.len() / 2]).expect("write half of an archive");
    others_work(&store, &mut import);
    assert!(!store.ids().contains(&layer), "half a layer is not listed");
    writer.write_all(&content[content.len() / 2..]).expect("write the other half");
    drop(writer);
    let (status, errors) = finish(import);
    assert!(status.success(), "the import ends well after the stall: {errors}");
    assert!(store.diff(&layer) == content, "and the layer is whole");
    invariants::assert_clean(&store, "after the import");
    Ok(())
}

/// The stream of a layer that is deleted meanwhile either is whole, or ends with an error: never short and well.
pub(crate) fn deleted_under_a_diff(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let content = big_base(scratch, &store);
    let deleters = if machine::stand_in() { vec![] } else { vec![store.clone(), store.peer()?] };
    for (round, deleter) in deleters.iter().enumerate() {
        let layer = id(format!("deleted {round}"));
        let archive = scratch.join("big.tar");
        store.import(&layer, None, &archive);
        let (diff, begin) = start_and_stall(&store, &layer);
        if driver == "zfs" && deleter.is_peer() {
            // A dataset that somebody looks at can't be destroyed: the reference is told so, now and not in the end.
            let refused = deleter.run(&["delete-layer", &layer]);
            assert!(refused.stderr().contains("busy"), "{}", refused.describe());
            let (status, errors, all) = finish_stream(diff, begin);
            assert!(!status.success() || all == content, "a diff that says it went well is whole: {errors}");
            store.ok(&["gc"]);
            continue;
        }
        deleter.delete(&layer);
        assert!(!store.ids().contains(&layer), "the deletion did not wait for the stream");
        let (status, errors, all) = finish_stream(diff, begin);
        if status.success() {
            assert!(all == content, "a diff that says it went well is whole");
        } else {
            assert_eq!(errors.lines().count(), 1, "one clear line: {errors}");
        }
    }
    invariants::assert_clean(&store, "after the diffs");
    Ok(())
}
