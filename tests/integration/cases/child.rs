//! A child layer: its exact changes, and its diff applied to a second child, within a driver and between two.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, id, must};
use integration::tree::Tree;
use integration::{Outcome, Scratch, archive, tree};

pub(crate) const CASES: &[Case] = &[
    case("child::exact_changes_and_same_tree::overlay_to_overlay", 60, |s| child(s, "overlay", "overlay")),
    case("child::exact_changes_and_same_tree::vfs_to_vfs", 60, |s| child(s, "vfs", "vfs")),
    case("child::exact_changes_and_same_tree::btrfs_to_btrfs", 60, |s| child(s, "btrfs", "btrfs")),
    case("child::exact_changes_and_same_tree::overlay_to_btrfs", 60, |s| child(s, "overlay", "btrfs")),
    case("child::exact_changes_and_same_tree::vfs_to_btrfs", 60, |s| child(s, "vfs", "btrfs")),
    case("child::exact_changes_and_same_tree::overlay_to_vfs", 60, |s| child(s, "overlay", "vfs")),
    case("child::exact_changes_and_same_tree::vfs_to_overlay", 60, |s| child(s, "vfs", "overlay")),
    case("child::changes_between_two_layers::overlay", 60, |s| between(s, "overlay")),
    case("child::changes_between_two_layers::vfs", 60, |s| between(s, "vfs")),
    case("child::changes_between_two_layers::btrfs", 60, |s| between(s, "btrfs")),
    case("child::an_edit_that_keeps_size_and_time::overlay", 60, |s| quiet_edit(s, "overlay")),
];

/// Packs the tree from which every child starts.
fn base(scratch: &Scratch) -> std::path::PathBuf {
    let made = scratch.make("made");
    archive::one_of_everything(&made);
    archive::put(&made, "kept/deeper/file", "kept");
    archive::put(&made, "edited/content", "before");
    archive::put(&made, "edited/mode", "mode");
    archive::put(&made, "edited/owner", "owner");
    archive::put(&made, "edited/same-size", "aaaa");
    archive::put(&made, "gone/file", "gone");
    archive::put(&made, "gone-file", "gone");
    archive::put(&made, "replaced/old", "old");
    archive::put(&made, "replaced/common", "common");
    archive::put(&made, "replaced/sub/old", "old");
    archive::put(&made, "renamed/one", "one");
    archive::put(&made, "renamed/sub/two", "two");
    archive::put(&made, "becomes-file/inner", "inner");
    archive::put(&made, "becomes-directory", "a file");
    let file = scratch.join("base.tar");
    archive::pack(&made, &file, "pax");
    file
}

/// Additions, edits, deletions, a replaced directory, a renamed directory, and changes of type.
fn edit(root: &Path) {
    let at = |name: &str| root.join(name);
    archive::put(root, "added/deeper/file", "added");
    fs::write(at("kept/deeper/new"), "new").expect("add a file");
    fs::write(at("edited/content"), "after, and longer").expect("edit a file");
    fs::write(at("edited/same-size"), "bbbb").expect("edit a file");
    fs::set_permissions(at("edited/mode"), fs::Permissions::from_mode(0o600)).expect("chmod");
    std::os::unix::fs::chown(at("edited/owner"), Some(42), Some(43)).expect("chown");
    fs::remove_dir_all(at("gone")).expect("delete a directory");
    fs::remove_file(at("gone-file")).expect("delete a file");
    fs::remove_dir_all(at("replaced")).expect("delete a directory");
    archive::put(root, "replaced/new", "new");
    archive::put(root, "replaced/common", "another one");
    let mut rename = Command::new("mv");
    rename.arg(at("renamed")).arg(at("new-name"));
    must(rename);
    fs::remove_dir_all(at("becomes-file")).expect("delete a directory");
    fs::write(at("becomes-file"), "a file now").expect("add a file");
    fs::remove_file(at("becomes-directory")).expect("delete a file");
    archive::put(root, "becomes-directory/inner", "inner");
    symlink("added", at("new-link")).expect("add a link");
    fs::hard_link(at("added/deeper/file"), at("added/other-name")).expect("add a name");
}

fn sight(store: &Store, layer: &str) -> Tree {
    let path = store.mount(layer);
    let seen = tree::read(&path);
    store.unmount(layer);
    seen
}

pub(crate) fn child(scratch: &Scratch, from: &'static str, to: &'static str) -> Outcome {
    let archive = base(scratch);
    let (parent, first, second) = (id("parent"), id("first"), id("second"));
    let store = Store::new(scratch, "from", from);
    store.import(&parent, None, &archive);
    store.create(&first, Some(&parent));
    edit(&store.mount(&first));
    store.unmount(&first);

    let (before, after) = (sight(&store, &parent), sight(&store, &first));
    assert_eq!(store.changes(&first), tree::changes(&before, &after), "the exact list of changes");

    let diff = scratch.join("child.tar");
    store.diff_to(&first, &diff);
    let other = if from == to { store } else { Store::new(scratch, "to", to) };
    if from != to {
        other.import(&parent, None, &archive);
    }
    other.create(&second, Some(&parent));
    other.ok(&["applydiff", "-f", diff.to_str().expect("a printable path"), &second]);
    tree::assert_same_but_directory_times("the first child and the second", &after, &sight(&other, &second));

    let third = id("third");
    other.import(&third, Some(&parent), &diff);
    tree::assert_same_but_directory_times("the first child and an imported one", &after, &sight(&other, &third));
    assert_eq!(other.changes(&third), tree::changes(&before, &after), "the changes of the imported child");
    assert_eq!(other.diff(&third), fs::read(&diff).expect("read a diff"), "the diff of the imported child");
    Ok(())
}

pub(crate) fn between(scratch: &Scratch, driver: &'static str) -> Outcome {
    let archive = base(scratch);
    let store = Store::new(scratch, "store", driver);
    let (parent, left, right) = (id("parent"), id("left"), id("right"));
    store.import(&parent, None, &archive);
    store.create(&left, Some(&parent));
    store.create(&right, Some(&parent));
    fs::write(store.mount(&left).join("left"), "left").expect("add a file");
    store.unmount(&left);
    fs::write(store.mount(&right).join("right"), "right").expect("add a file");
    store.unmount(&right);
    let out = store.ok(&["changes", &left, &right]);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["Add \"/left\"", "Delete \"/right\""], "changes from the second layer to the first");
    let size: u64 = store.ok(&["diffsize", &left]).trim().parse().expect("diffsize writes a number");
    assert!(size >= 4, "the size of a diff with four bytes of data is {size}");
    Ok(())
}

/// Builds that set every time to one moment change content without changing size or time. Overlay has the file in the
/// layer's own directory, so that the change can't be overlooked; vfs can't know, nor can the reference with it.
fn quiet_edit(scratch: &Scratch, driver: &'static str) -> Outcome {
    let made = scratch.make("made");
    archive::put(&made, "edited", "before");
    archive::set_time(&made.join("edited"), 1_000_000_000, 0);
    let base = scratch.join("base.tar");
    archive::pack(&made, &base, "pax");
    archive::put(&made, "edited", "behind");
    archive::set_time(&made.join("edited"), 1_000_000_000, 0);

    let store = Store::new(scratch, "store", driver);
    let (parent, child, copy) = (id("parent"), id("child"), id("copy"));
    store.import(&parent, None, &base);
    store.create(&child, Some(&parent));
    let root = store.mount(&child);
    fs::write(root.join("edited"), "behind").expect("edit a file");
    archive::set_time(&root.join("edited"), 1_000_000_000, 0);
    store.unmount(&child);
    assert_eq!(store.changes(&child), ["C /edited"], "an edit of content alone is a change");
    let diff = scratch.join("child.tar");
    store.diff_to(&child, &diff);
    store.import(&copy, Some(&parent), &diff);
    let content = fs::read_to_string(store.mount(&copy).join("edited")).expect("read");
    store.unmount(&copy);
    assert_eq!(content, "behind", "and the diff has it");
    assert_eq!(store.changes(&copy), ["C /edited"], "in an imported layer, too");
    Ok(())
}
