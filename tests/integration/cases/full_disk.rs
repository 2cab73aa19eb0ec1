//! A filesystem without room.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::case::{Case, Skip, case};
use integration::store::{Store, id, must};
use integration::{Outcome, Scratch, archive, invariants};

use crate::bad_input;

pub(crate) const CASES: &[Case] = &[
    case("full_disk::a_failed_import_changes_nothing::overlay", 60, |s| import(s, "overlay")),
    case("full_disk::a_failed_import_changes_nothing::vfs", 60, |s| import(s, "vfs")),
    case("full_disk::a_failed_import_changes_nothing::btrfs", 60, |s| import(s, "btrfs")),
    case("full_disk::deleting_needs_no_room::overlay", 60, |s| delete(s, "overlay", "ext4")),
    case("full_disk::deleting_needs_no_room::vfs", 60, |s| delete(s, "vfs", "ext4")),
    case("full_disk::deleting_needs_no_room::btrfs", 60, |s| delete(s, "btrfs", "btrfs")),
];

/// Fills a filesystem to the last block, in ever smaller steps.
fn fill(disk: &Path) {
    let mut file = fs::File::create(disk.join("filler")).expect("make a file");
    for step in [1 << 20, 1 << 16, 4096, 512, 1] {
        let block = vec![1_u8; step];
        while file.write_all(&block).is_ok() {}
        let _ = file.sync_all();
    }
}

/// A disk of a size near the least that its filesystem takes.
fn small_disk(scratch: &Scratch, kind: &str) -> Result<PathBuf, Skip> {
    scratch.small_disk("disk", if kind == "btrfs" { 120 << 20 } else { 48 << 20 }, kind)
}

fn import(scratch: &Scratch, driver: &'static str) -> Outcome {
    let disk = small_disk(scratch, if driver == "btrfs" { "btrfs" } else { "ext4" })?;
    let store = Store::at(&disk.join("root"), &scratch.join("run"), driver);
    let small = archive::small(scratch.path(), "small", 10, 1000);
    let large = archive::small(scratch.path(), "large", 100, 1 << 20);
    store.import(&id("before"), None, &small);
    let before = bad_input::sight(&store);
    let file = large.to_str().expect("a printable path");
    let wrong = id("too large");
    bad_input::refused(&store, &before, &["import-layer", "-i", &wrong, "-f", file], &["no space left on device"]);
    if driver == "btrfs" {
        // The room of a subvolume that is no more comes back when the kernel gets to it.
        let mut wait = Command::new("btrfs");
        wait.args(["subvolume", "sync"]).arg(&disk);
        must(wait);
    }
    store.import(&id("after"), None, &small);
    invariants::assert_clean(&store, "after the failed import and one that fits");
    Ok(())
}

fn delete(scratch: &Scratch, driver: &'static str, kind: &str) -> Outcome {
    let disk = small_disk(scratch, kind)?;
    let store = Store::at(&disk.join("root"), &scratch.join("run"), driver);
    let layer = archive::small(scratch.path(), "layer", 30, 200_000);
    store.import(&id("one"), None, &layer);
    store.import(&id("two"), None, &layer);
    store.create(&id("child of one"), Some(&id("one")));
    fill(&disk);
    assert!(fs::write(disk.join("more"), [0_u8; 8192]).is_err(), "the disk is full");
    let _ = fs::remove_file(disk.join("more"));
    store.delete(&id("child of one"));
    store.delete(&id("one"));
    let mut left = vec![id("two")];
    left.sort();
    assert_eq!(store.ids(), left, "the other layer is still there");
    invariants::assert_clean(&store, "after deleting on a full disk");
    store.delete(&id("two"));
    fs::remove_file(disk.join("filler")).expect("make room");
    store.import(&id("three"), None, &layer);
    Ok(())
}
