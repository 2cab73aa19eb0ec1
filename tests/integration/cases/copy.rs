//! Copies between the host, layers and containers: whose the files are afterwards, and where no path leads.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;

use integration::case::{Case, case};
use integration::store::Store;
use integration::tree::{self, Tree};
use integration::{Outcome, Scratch, archive, invariants};

use crate::id_maps::{MAPS, container};

pub(crate) const CASES: &[Case] = &[
    case("copy::as_the_reference_does::overlay", 60, |s| as_reference(s, "overlay")),
    case("copy::as_the_reference_does::vfs", 60, |s| as_reference(s, "vfs")),
    case("copy::as_the_reference_does::btrfs", 60, |s| as_reference(s, "btrfs")),
    case("copy::owners_and_places::overlay", 60, |s| owners_and_places(s, "overlay")),
    case("copy::owners_and_places::vfs", 60, |s| owners_and_places(s, "vfs")),
    case("copy::owners_and_places::btrfs", 60, |s| owners_and_places(s, "btrfs")),
    case("copy::no_path_leads_out_of_a_layer::overlay", 60, |s| escapes(s, "overlay")),
    case("copy::no_path_leads_out_of_a_layer::vfs", 60, |s| escapes(s, "vfs")),
    case("copy::no_path_leads_out_of_a_layer::btrfs", 60, |s| escapes(s, "btrfs")),
];

/// A tree on the host, with owners.
fn made(scratch: &Scratch) -> String {
    let made = scratch.make("made");
    archive::one_of_everything(&made);
    // The reference's version knows no times before 1970, and the maps of the case no such group.
    fs::remove_file(made.join("times/before-the-epoch")).expect("remove a file");
    chown(made.join("owned/file"), Some(1000), Some(300)).expect("give a file away");
    fs::set_permissions(&made, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set a mode");
    made.to_str().expect("a printable path").to_owned()
}

/// The tree of a layer, without its root, whose time the copy changes.
fn seen(store: &Store, layer: &str) -> Tree {
    let mut tree = tree::read(&store.mount(layer));
    store.unmount(layer);
    tree.remove(Path::new(""));
    // The directory that the copy made.
    if let Some(entry) = tree.get_mut(Path::new("new")) {
        entry.mtime = 0;
    }
    tree
}

fn as_reference(scratch: &Scratch, driver: &'static str) -> Outcome {
    let tree = made(scratch);
    let file = format!("{tree}/owned/file");
    let ours = Store::new(scratch, "ours", driver);
    let theirs = Store::new(scratch, "theirs", driver).peer()?;
    for store in [&ours, &theirs] {
        store.ok(&["create-layer", "-i", "plain"]);
        store.ok(&[&["create-layer", "-i", "mapped"], &MAPS[..]].concat());
        store.ok(&["copy", &tree, "plain:/new"]);
        store.ok(&["copy", &file, "plain:/file"]);
        store.ok(&["copy", &format!("{tree}/etc"), "mapped:/"]);
        store.ok(&["copy", &file, "mapped:/file"]);
        store.ok(&["copy", "mapped:/file", "plain:/back"]);
        store.ok(&["copy", "plain:/file", "mapped:/again"]);
    }
    for layer in ["plain", "mapped"] {
        tree::assert_same_but_directory_times(layer, &seen(&ours, layer), &seen(&theirs, layer));
    }
    invariants::assert_clean(&ours, "after copies");
    Ok(())
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = fs::symlink_metadata(path).expect("stat a copy");
    (meta.uid(), meta.gid())
}

fn owners_and_places(scratch: &Scratch, driver: &'static str) -> Outcome {
    let tree = made(scratch);
    let file = format!("{tree}/owned/file");
    let store = Store::new(scratch, "store", driver);
    store.ok(&[&["create-container", "-i", "box"], &MAPS[..], &[""]].concat());
    store.ok(&["create-layer", "-i", "layer"]);
    store.ok(&["copy", &file, "box:/file"]);
    store.ok(&["copy", "--chown", "5:6", &tree, "box:/given"]);
    store.ok(&["copy", "-o", "7", &file, "box:/given/"]);
    store.ok(&["copy", &file, &format!("{tree}/etc"), "box:/several/deep"]);
    store.ok(&["copy", "box:/file", "layer:/file"]);
    let out = scratch.join("out");
    store.ok(&["copy", "box:/several", out.to_str().expect("a printable path")]);
    assert_eq!(invariants::count_errors(&store), Vec::<String>::new());

    let root = store.mount("box");
    assert_eq!(owner(&root.join("file")), (101_000, 300_300), "owners are the container's");
    assert_eq!(owner(&root.join("given")), (100_000, 300_000), "a directory that was made is its root's");
    assert_eq!(owner(&root.join("given/usr/link")), (100_005, 300_006));
    assert_eq!(owner(&root.join("given/owned/file")), (100_005, 300_006));
    assert_eq!(owner(&root.join("given/file")), (100_007, 300_007));
    assert!(root.join("several/deep/file").is_file() && root.join("several/deep/passwd").is_file());
    assert_eq!(owner(&out.join("deep/file")), (1000, 300), "back on the host the ids are those inside");
    store.unmount(container(&store, "box")["layer"].as_str().expect("a layer"));
    assert_eq!(owner(&store.mount("layer").join("file")), (1000, 300));
    store.unmount("layer");
    invariants::assert_clean(&store, "after copies");
    Ok(())
}

fn escapes(scratch: &Scratch, driver: &'static str) -> Outcome {
    let tree = made(scratch);
    let file = format!("{tree}/owned/file");
    let outside = scratch.make("outside");
    fs::write(outside.join("secret"), "secret").expect("write a file");
    let links = scratch.make("links");
    symlink(&outside, links.join("absolute")).expect("make a link");
    symlink("../../../../../../../../../../..", links.join("up")).expect("make a link");
    symlink("/proc/self/root", links.join("magic")).expect("make a link");
    symlink(outside.join("secret"), links.join("secret")).expect("make a link");
    let store = Store::new(scratch, "store", driver);
    store.ok(&["create-layer", "-i", "layer"]);
    store.ok(&["copy", links.to_str().expect("a printable path"), "layer:/"]);
    let before = tree::listing(&outside);
    let there = format!("up{}/x", outside.display());
    let target = scratch.join("stolen");
    let target = target.to_str().expect("a printable path");
    for line in [
        ["copy", &file, "layer:/absolute/x"],
        ["copy", &file, "layer:/absolute"],
        ["copy", &file, &format!("layer:/{there}")],
        ["copy", &file, "layer:/magic/x"],
        ["copy", &file, "layer:/../../x"],
        ["copy", &tree, "layer:/absolute/new"],
        ["copy", "layer:/absolute/secret", target],
        ["copy", "layer:/absolute/", target],
        ["copy", "layer:/up/", target],
        ["copy", "layer:/../..", target],
    ] {
        let ended = store.run(&line);
        assert!(!ended.output.status.success(), "it was copied: {}", ended.describe());
        assert_eq!(tree::listing(&outside), before, "{line:?} wrote outside the layer");
    }
    // A link is copied as a link, not what it leads to.
    store.ok(&["copy", "layer:/secret", target]);
    assert!(fs::symlink_metadata(target).expect("stat a copy").is_symlink());
    assert!(
        !seen(&store, "layer").keys().any(|path| path.to_string_lossy().contains(".copy-")),
        "a copy left its aside"
    );
    invariants::assert_clean(&store, "after refused copies");
    Ok(())
}
