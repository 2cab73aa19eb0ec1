//! Bad input: one clear line, an exit code that isn't zero, and the store as before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use integration::archive;
use integration::case::{Case, case};
use integration::store::{Ended, Store, end, id};
use integration::{Outcome, Scratch, invariants, machine, scratch as disks, tree};

use crate::bad_archives::outside;

pub(crate) const CASES: &[Case] = &[
    case("bad_input::unknown_layer::overlay", 60, |s| unknown_layer(s, "overlay")),
    case("bad_input::unknown_layer::vfs", 60, |s| unknown_layer(s, "vfs")),
    case("bad_input::unknown_layer::btrfs", 60, |s| unknown_layer(s, "btrfs")),
    case("bad_input::missing_parent::overlay", 60, |s| missing_parent(s, "overlay")),
    case("bad_input::missing_parent::vfs", 60, |s| missing_parent(s, "vfs")),
    case("bad_input::missing_parent::btrfs", 60, |s| missing_parent(s, "btrfs")),
    case("bad_input::duplicate_id_or_name::overlay", 60, |s| duplicate_id(s, "overlay")),
    case("bad_input::duplicate_id_or_name::vfs", 60, |s| duplicate_id(s, "vfs")),
    case("bad_input::duplicate_id_or_name::btrfs", 60, |s| duplicate_id(s, "btrfs")),
    case("bad_input::id_with_slash_or_dots::overlay", 60, |s| bad_id(s, "overlay")),
    case("bad_input::id_with_slash_or_dots::vfs", 60, |s| bad_id(s, "vfs")),
    case("bad_input::id_with_slash_or_dots::btrfs", 60, |s| bad_id(s, "btrfs")),
    case("bad_input::id_with_slash_or_dots_in_the_store::overlay", 60, |s| bad_id_inside(s, "overlay")),
    case("bad_input::id_with_slash_or_dots_in_the_store::vfs", 60, |s| bad_id_inside(s, "vfs")),
    case("bad_input::id_with_slash_or_dots_in_the_store::btrfs", 60, |s| bad_id_inside(s, "btrfs")),
    case("bad_input::parent_that_is_deleted::overlay", 60, |s| parent_in_use(s, "overlay")),
    case("bad_input::parent_that_is_deleted::vfs", 60, |s| parent_in_use(s, "vfs")),
    case("bad_input::parent_that_is_deleted::btrfs", 60, |s| parent_in_use(s, "btrfs")),
    case("bad_input::read_only_root::overlay", 60, |s| read_only_root(s, "overlay")),
    case("bad_input::read_only_root::vfs", 60, |s| read_only_root(s, "vfs")),
    case("bad_input::read_only_root::btrfs", 60, |s| read_only_root(s, "btrfs")),
    case("bad_input::missing_root::overlay", 60, |s| missing_root(s, "overlay")),
    case("bad_input::missing_root::vfs", 60, |s| missing_root(s, "vfs")),
    case("bad_input::missing_root::btrfs", 60, |s| missing_root(s, "btrfs")),
    case("bad_input::damaged_json::overlay", 60, |s| damaged_json(s, "overlay")),
    case("bad_input::damaged_json::vfs", 60, |s| damaged_json(s, "vfs")),
    case("bad_input::damaged_json::btrfs", 60, |s| damaged_json(s, "btrfs")),
    case("bad_input::lock_file_that_may_not_be_opened::overlay", 60, |s| forbidden_lock(s, "overlay")),
    case("bad_input::lock_file_that_may_not_be_opened::vfs", 60, |s| forbidden_lock(s, "vfs")),
    case("bad_input::lock_file_that_may_not_be_opened::btrfs", 60, |s| forbidden_lock(s, "btrfs")),
    case("bad_input::missing_archive::overlay", 60, |s| missing_archive(s, "overlay")),
    case("bad_input::missing_archive::vfs", 60, |s| missing_archive(s, "vfs")),
    case("bad_input::missing_archive::btrfs", 60, |s| missing_archive(s, "btrfs")),
    case("bad_input::unknown_verb_and_flag", 60, unknown_words),
];

/// All of a store that must stay as it was.
pub(crate) fn sight(store: &Store) -> Vec<String> {
    let driver = store.driver;
    let mut all = Vec::new();
    for dir in [store.layers_dir(), store.run_layers_dir(), store.root.join(format!("{driver}-images"))] {
        for name in ["layers.json", "volatile-layers.json", "mountpoints.json", "images.json"] {
            if let Ok(text) = fs::read_to_string(dir.join(name)) {
                all.push(format!("{name}: {text}"));
            }
        }
    }
    // Places for staging and leases come into being with the first use and stay, empty; a lock file's times are nobody's promise;
    // of JSON files the content counts, and the reference makes its device node anew each time.
    let passing = |line: &String| {
        let name = line.split(' ').next().unwrap_or_default();
        let place = name.ends_with("tempdirs") || name.ends_with("-layers/tmp") || name.ends_with("overlay/staging");
        let place = place || name.ends_with("-layers/lamina-leases");
        place || [".lock", ".json", "backingFsBlockDev"].iter().any(|end| name.ends_with(end))
    };
    all.extend(tree::listing(&store.root).into_iter().filter(|line| !passing(line)));
    all
}

/// Fails unless the call is refused as it must be. Gives the line that it wrote.
#[track_caller]
pub(crate) fn refused(store: &Store, before: &[String], args: &[&str], words: &[&str]) -> String {
    let ended = store.run(args);
    let line = one_line(&ended, words);
    let after = sight(store);
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert!(
        changed.is_empty() && gone.is_empty(),
        "the store isn't as before {args:?}\nnow: {changed:#?}\nwas: {gone:#?}"
    );
    let held = invariants::held_locks(store);
    assert!(held.is_empty(), "held after {args:?}: {held:?}");
    line
}

/// Fails unless a call failed with exactly one line on standard error that has all the words.
#[track_caller]
pub(crate) fn one_line(ended: &Ended, words: &[&str]) -> String {
    assert!(!ended.output.status.success(), "it was accepted: {}", ended.describe());
    assert!(ended.output.status.code().is_some_and(|code| code != 101), "it died: {}", ended.describe());
    let line = ended.stderr();
    if machine::stand_in() {
        return line; // the reference has other words, and more of them
    }
    assert!(line.ends_with('\n') && line.lines().count() == 1, "not one line: {}", ended.describe());
    for word in words {
        assert!(line.to_lowercase().contains(&word.to_lowercase()), "the line lacks {word:?}: {}", ended.describe());
    }
    assert!(!line.contains("panicked"), "it panicked: {}", ended.describe());
    line
}

/// A store with a base layer and a child, and what it looks like.
pub(crate) fn prepare(scratch: &Scratch, driver: &'static str) -> (Store, Vec<String>) {
    let store = Store::new(scratch, "store", driver);
    let archive = archive::small(scratch.path(), "small", 10, 1000);
    store.import(&id("base"), None, &archive);
    store.ok(&["create-layer", "-i", &id("child"), "-n", "taken", &id("base")]);
    let before = sight(&store);
    (store, before)
}

fn unknown_layer(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let archive = scratch.join("small.tar");
    let file = archive.to_str().expect("a printable path");
    for args in [
        vec!["diff", "-u", "nobody"],
        vec!["diffsize", "nobody"],
        vec!["changes", "nobody"],
        vec!["applydiff", "-f", file, "nobody"],
        vec!["layer", "nobody"],
        vec!["delete-layer", "nobody"],
        vec!["mount", "nobody"],
        vec!["unmount", "nobody"],
        vec!["set-names", "-n", "x", "nobody"],
        vec!["get-names", "nobody"],
        vec!["list-layer-data", "nobody"],
    ] {
        // The reference says nothing at all for `layer` of an unknown name; a script only sees the exit code.
        refused(&store, &before, &args, &["nobody", "not known"]);
    }
    let words = ["nobody", "identifier is not a layer, image, or container"];
    refused(&store, &before, &["set-metadata", "-m", "x", "nobody"], &words);
    assert_eq!(store.run(&["exists", "nobody"]).output.status.code(), Some(1), "exists answers by its exit code");
    Ok(())
}

fn missing_parent(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let archive = scratch.join("small.tar");
    let file = archive.to_str().expect("a printable path");
    refused(&store, &before, &["create-layer", "-i", &id("new"), "nobody"], &["nobody", "not known"]);
    refused(&store, &before, &["import-layer", "-i", &id("new"), "-f", file, "nobody"], &["nobody", "not known"]);
    Ok(())
}

pub(crate) fn duplicate_id(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let archive = scratch.join("small.tar");
    let file = archive.to_str().expect("a printable path");
    let used = ["already in use"];
    refused(&store, &before, &["create-layer", "-i", &id("base")], &used);
    refused(&store, &before, &["import-layer", "-i", &id("base"), "-f", file], &used);
    refused(&store, &before, &["create-layer", "-n", "taken"], &used);
    refused(&store, &before, &["create-layer", "-n", "new", "-n", "taken"], &used);
    refused(&store, &before, &["import-layer", "-n", "taken", "-f", file], &used);
    Ok(())
}

pub(crate) fn bad_id(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    for wrong in ["../escaped", "a/b", "/escaped", "..", ".", "../../../../outside/escaped", "a\nb", ".hidden"] {
        refused(&store, &before, &["create-layer", "-i", wrong], &["not a valid identifier"]);
    }
    let names: Vec<String> = tree::listing(scratch.path());
    assert!(!names.iter().any(|line| line.contains("escaped")), "something was made outside");
    Ok(())
}

/// A record that names a place outside of the store: whatever made it, it is not followed.
fn bad_id_inside(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, _) = prepare(scratch, driver);
    let victim = outside(scratch)?;
    let safe = tree::listing(&victim);
    let json = store.layers_dir().join("layers.json");
    let text = fs::read_to_string(&json).expect("read layers.json");
    let wrong = "../../../outside";
    let record = format!("{{\"id\":\"{wrong}\",\"names\":[\"wrong\"],\"created\":\"2026-01-01T00:00:00Z\"}}]");
    fs::write(&json, text.replace("}]", &format!("}},{record}"))).expect("write layers.json");
    for args in [["delete-layer", "wrong"], ["mount", "wrong"], ["delete-layer", wrong], ["diff", "wrong"]] {
        let ended = store.run(&args);
        if !machine::stand_in() {
            one_line(&ended, &[]);
        }
        assert_eq!(tree::listing(&victim), safe, "nothing outside changed by {args:?}");
    }
    Ok(())
}

pub(crate) fn parent_in_use(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    refused(&store, &before, &["delete-layer", &id("base")], &["layer has children"]);
    Ok(())
}

fn read_only_root(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let archive = scratch.join("small.tar");
    let file = archive.to_str().expect("a printable path");
    disks::read_only(&store.root);
    for args in [
        vec!["create-layer", "-i", "new"],
        vec!["import-layer", "-i", "new", "-f", file],
        vec!["delete-layer", &id("child")],
        vec!["set-names", "-n", "x", &id("child")],
        vec!["applydiff", "-f", file, &id("child")],
    ] {
        let ended = store.run(&args);
        one_line(&ended, &["read-only"]);
        assert_eq!(sight(&store), before, "the store is as before");
    }
    Ok(())
}

fn missing_root(scratch: &Scratch, driver: &'static str) -> Outcome {
    let frozen = scratch.make("frozen");
    disks::read_only(&frozen);
    fs::write(scratch.join("file"), "not a directory").expect("write a file");
    for place in ["frozen/root", "file/root"] {
        let store = Store::at(&scratch.join(place), &scratch.join("run"), driver);
        for args in [["create-layer", "-n", "x"], ["mount", "x", "y"]] {
            let args = if args[0] == "mount" { &args[..2] } else { &args[..] };
            one_line(&store.run(args), &[place]);
            assert!(!scratch.join(place).exists(), "nothing was made");
        }
    }
    Ok(())
}

fn damaged_json(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, _) = prepare(scratch, driver);
    let json = store.layers_dir().join("layers.json");
    let good = fs::read_to_string(&json).expect("read layers.json");
    let half = &good[..good.len() / 2];
    for damaged in ["", "[", half, "{}", "null and void", "\u{0}\u{0}\u{0}"] {
        fs::write(&json, damaged).expect("damage layers.json");
        let before = sight(&store);
        for args in [
            vec!["layers"],
            vec!["create-layer", "-n", "x"],
            vec!["delete-layer", &id("child")],
            vec!["mount", "taken"],
        ] {
            refused(&store, &before, &args, &["layers.json"]);
        }
    }
    fs::write(&json, &good).expect("mend layers.json");
    assert_eq!(store.ids().len(), 2, "mended, it works again");
    let mounts = store.run_layers_dir().join("mountpoints.json");
    fs::write(&mounts, "[{\"id\":").expect("damage mountpoints.json");
    let before = sight(&store);
    refused(&store, &before, &["mount", &id("child")], &["mountpoints.json"]);
    Ok(())
}

/// As the user `nobody`, with a copy of the command that this user can reach.
fn forbidden_lock(scratch: &Scratch, driver: &'static str) -> Outcome {
    prepare(scratch, driver);
    let setpriv = machine::need("setpriv")?;
    let place = scratch.for_everybody()?;
    let store = Store::at(&place.join("store/root"), &place.join("store/run"), driver);
    let bin = place.join("command-under-test");
    fs::copy(&store.bin, &bin).expect("copy the command");
    open_to_all(&place);
    for lock in invariants::lock_files(&store) {
        fs::set_permissions(lock, fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    let before = sight(&store);
    for verb in [vec!["create-layer", "-n", "x"], vec!["delete-layer", "taken"], vec!["set-names", "-n", "y", "taken"]]
    {
        let mut command = Command::new(&setpriv);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&bin);
        command.args(store.command().get_args()).args(verb).env("HOME", &place);
        let ended = end(command);
        one_line(&ended, &["permission denied", "lock"]);
        assert_eq!(sight(&store), before, "the store is as before");
    }
    Ok(())
}

/// Opens every directory and file of a case to everybody, but for what layers hold.
fn open_to_all(root: &Path) {
    let mut stack = vec![root.to_path_buf()];
    while let Some(dir) = stack.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("chmod");
        for entry in fs::read_dir(&dir).expect("list").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !entry.path().ends_with("diff") {
                stack.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let mode = if entry.path().ends_with("command-under-test") { 0o755 } else { 0o666 };
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("chmod");
            }
        }
    }
}

fn missing_archive(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (store, before) = prepare(scratch, driver);
    let missing = scratch.join("no-such-file");
    let file = missing.to_str().expect("a printable path");
    refused(&store, &before, &["import-layer", "-i", &id("new"), "-f", file], &["no-such-file"]);
    refused(&store, &before, &["applydiff", "-f", file, &id("child")], &["no-such-file"]);
    refused(&store, &before, &["import-layer", "-i", &id("new"), "-f", "/"], &[]);
    Ok(())
}

fn unknown_words(scratch: &Scratch) -> Outcome {
    let (store, before) = prepare(scratch, "vfs");
    for args in [vec!["no-such-verb"], vec!["layers", "--no-such-flag"], vec!["mount"], vec!["layers", "too", "many"]] {
        let ended = store.run(&args);
        assert!(!ended.output.status.success(), "it was accepted: {}", ended.describe());
        assert_eq!(sight(&store), before, "the store is as before");
    }
    if !machine::stand_in() {
        let elsewhere = Store { driver: "no-such-driver", ..store.clone() };
        one_line(&elsewhere.run(&["layers"]), &["no-such-driver"]);
    }
    Ok(())
}
