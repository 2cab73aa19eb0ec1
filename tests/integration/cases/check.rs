//! What `check` tells, and that it tells nothing of a store that is whole, whoever works on it meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive};
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    case("check::a_store_that_others_work_on_is_whole::overlay", 180, |s| meanwhile(s, "overlay")),
    case("check::a_store_that_others_work_on_is_whole::vfs", 180, |s| meanwhile(s, "vfs")),
    case("check::a_store_that_others_work_on_is_whole::btrfs", 180, |s| meanwhile(s, "btrfs")),
    case("check::the_references_layers_are_whole::overlay", 60, |s| of_the_peer(s, "overlay")),
    case("check::the_references_layers_are_whole::vfs", 60, |s| of_the_peer(s, "vfs")),
    case("check::the_references_layers_are_whole::btrfs", 60, |s| of_the_peer(s, "btrfs")),
    case("check::text_and_exit_code_are_the_references::overlay", 60, |s| told(s, "overlay")),
    case("check::mounts_stay::overlay", 60, |s| mounts_stay(s, "overlay")),
];

/// The names of the findings of a check, sorted as it tells them.
#[track_caller]
pub(crate) fn kinds(store: &Store, args: &[&str]) -> Vec<String> {
    let ended = store.run(&[args, &["-j"]].concat());
    let report: Value = serde_json::from_slice(&ended.output.stdout)
        .unwrap_or_else(|error| panic!("check writes no JSON: {error}: {}", ended.describe()));
    let findings = report["Findings"].as_array().expect("a list of findings");
    let clean = ended.output.status.success();
    assert_eq!(clean, findings.is_empty(), "the exit code says the same as the list: {}", ended.describe());
    let mut kinds: Vec<String> =
        findings.iter().map(|finding| finding["kind"].as_str().expect("a kind").to_owned()).collect();
    // One layer may have several altered files.
    if kinds.iter().any(|kind| kind == "layer-modified") {
        kinds.sort();
        kinds.reverse();
        kinds.dedup();
    }
    kinds
}

/// Fails unless a full check finds nothing.
#[track_caller]
pub(crate) fn assert_clean(store: &Store, when: &str) {
    let ended = store.run(&["check"]);
    assert!(ended.output.status.success(), "{when}: {}", ended.describe());
}

fn of_the_peer(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let peer = store.peer()?;
    let tree = scratch.make("tree");
    archive::one_of_everything(&tree);
    fs::remove_file(tree.join("times/before-the-epoch")).expect("remove a file");
    let file = scratch.join("everything.tar");
    archive::pack(&tree, &file, "pax");
    peer.import(&id("base"), None, &file);
    let hiding = archive::RawTar::new().directory("etc/").file("etc/.wh.passwd", "").file("usr/.wh..wh..opq", "");
    peer.import(&id("hiding"), Some(&id("base")), &hiding.write(&scratch.join("hiding.tar")));
    peer.create(&id("top"), Some(&id("hiding")));
    fs::write(peer.mount(&id("top")).join("written"), "x").expect("write");
    assert_clean(&store, "the reference's layers, one mounted");
    peer.unmount(&id("top"));
    assert_clean(&store, "the reference's layers");
    Ok(())
}

fn told(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    store.import(&id("one"), None, &archive::small(scratch.path(), "small", 3, 100));
    assert_eq!(store.ok(&["check"]), "", "nothing is said of a store that is whole");
    fs::remove_file(store.layer_dir(&id("one")).join("diff/dir1/small-1")).expect("remove a file");
    let ended = store.run(&["check"]);
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.describe());
    let text = String::from_utf8_lossy(&ended.output.stdout).into_owned();
    assert!(text.starts_with(&format!("layer {}:\n ", id("one"))), "{text}");
    assert!(text.contains("layer content incorrect digest") && text.contains("layer content modified"), "{text}");
    let summary =
        "1 layer errors, 0 read-only layer errors, 0 image errors, 0 read-only image errors, 0 container errors";
    assert!(ended.stderr().contains(summary), "{}", ended.stderr());
    assert_eq!(kinds(&store, &["check", "-q", "-m", "0"]), ["layer-unreferenced"]);
    Ok(())
}

fn mounts_stay(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    store.create(&id("one"), None);
    let path = store.mount(&id("one"));
    fs::write(path.join("file"), "x").expect("write");
    assert_clean(&store, "with a mounted layer");
    assert!(path.join("file").exists() && store.counts().len() == 1, "check took a mount away");
    store.unmount(&id("one"));
    Ok(())
}

/// Checks while layers come, are mounted, and go.
fn meanwhile(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let file = archive::small(scratch.path(), "small", 40, 3000);
    store.import(&id("base"), None, &file);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = |who: &'static str| {
            let (store, file, done) = (&store, &file, &done);
            move || {
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let (full, empty) = (id(format!("{who} full {round}")), id(format!("{who} empty {round}")));
                    store.import(&full, Some(&id("base")), file);
                    store.create(&empty, Some(&full));
                    store.mount(&empty);
                    store.unmount(&empty);
                    store.delete(&empty);
                    store.delete(&full);
                }
            }
        };
        scope.spawn(work("one"));
        scope.spawn(work("other"));
        for round in 0..15 {
            let ended = store.run(&["check"]);
            if !ended.output.status.success() {
                done.store(true, Ordering::Relaxed);
                panic!("round {round}: {}", ended.describe());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_clean(&store, "at the end");
    Ok(())
}
