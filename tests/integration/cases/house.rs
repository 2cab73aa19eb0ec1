//! Keeping house: what `gc` takes and what it leaves, and mounts beside the reference's.

use std::fs;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, invariants};

pub(crate) const CASES: &[Case] = &[
    case("house::gc_takes_orphans_and_nothing_else::overlay", 60, |s| orphans(s, "overlay")),
    case("house::gc_takes_orphans_and_nothing_else::vfs", 60, |s| orphans(s, "vfs")),
    case("house::gc_takes_orphans_and_nothing_else::btrfs", 60, |s| orphans(s, "btrfs")),
    case("house::gc_leaves_what_is_mounted::overlay", 60, |s| mounted(s, "overlay")),
    case("house::a_mount_made_before_the_reference_came_is_released::overlay", 60, |s| before_the_peer(s, "overlay")),
    case("house::dedup_shares_what_is_the_same::overlay", 60, |s| dedup(s, "overlay")),
    case("house::dedup_shares_what_is_the_same::vfs", 60, |s| dedup(s, "vfs")),
    case("house::dedup_shares_what_is_the_same::btrfs", 60, |s| dedup(s, "btrfs")),
];

/// Where blocks can be shared (the scratch filesystem is xfs unless another is asked for) and where they can't.
fn dedup(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let file = archive::small(scratch.path(), "small", 5, 40_000);
    store.import(&id("one"), None, &file);
    store.import(&id("other"), None, &file);
    let before = (store.diff(&id("one")), store.diff(&id("other")));
    let refused = store.run(&["dedup", "--hash-method", "guess"]);
    assert_eq!(refused.output.status.code(), Some(2), "{}", refused.describe());
    let shares = std::env::var("LAMINA_TEST_FS").is_ok_and(|kind| kind == "ext4");
    let expected = if shares { 0 } else { 5 * 40_000 };
    assert_eq!(store.ok(&["dedup"]), format!("Deduplicated {expected} bytes\n"));
    store.ok(&["dedup", "--hash-method=crc", "-j"]);
    store.ok(&["dedup", "--hash-method=size"]);
    assert!((store.diff(&id("one")), store.diff(&id("other"))) == before, "content changed");
    store.ok(&["check"]);
    Ok(())
}

fn orphans(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let (known, orphan) = (id("known"), id("orphan"));
    store.import(&known, None, &archive::small(scratch.path(), "small", 3, 100));
    let tree = store.layer_dir(&orphan);
    fs::create_dir_all(tree.join("diff/deep")).expect("make an orphan");
    fs::write(tree.join("diff/deep/file"), "x").expect("fill it");
    let split = store.layers_dir().join(format!("{orphan}.tar-split.gz"));
    fs::write(&split, "x").expect("its tar-split");
    fs::create_dir(store.layers_dir().join(&orphan)).expect("its data");
    let strange = tree.with_file_name("lost+found");
    fs::create_dir(&strange).expect("a directory that is nobody's layer");

    store.ok(&["gc"]);
    assert!(!tree.exists() && !split.exists(), "an orphan was left");
    assert!(!store.layers_dir().join(&orphan).exists(), "an orphan's data was left");
    assert!(strange.exists(), "a directory whose name is no layer's was taken");
    fs::remove_dir(&strange).expect("take it away again");
    assert_eq!(store.ids(), std::slice::from_ref(&known));
    assert!(store.changes(&known).len() >= 3, "the layer that is known lost something");
    invariants::assert_clean(&store, "after gc");
    Ok(())
}

fn mounted(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let layer = id("layer");
    store.create(&layer, None);
    let path = store.mount(&layer);
    fs::write(path.join("file"), "x").expect("write through the mount");
    store.ok(&["gc"]);
    assert!(path.join("file").exists(), "gc took a mount away");
    assert_eq!(invariants::count_errors(&store), Vec::<String>::new());
    store.unmount(&layer);
    Ok(())
}

/// The reference binds the home on itself when it first comes: that must not hide a mount of ours.
fn before_the_peer(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let peer = store.peer()?;
    let layer = id("layer");
    store.create(&layer, None);
    let path = store.mount(&layer);
    fs::write(path.join("file"), "x").expect("write through the mount");
    peer.create(&id("the peer's"), None);
    assert!(path.join("file").exists(), "the mount is hidden");
    peer.mount(&layer);
    store.unmount(&layer);
    peer.unmount(&layer);
    invariants::assert_clean(&store, "after both gave back their mounts");
    Ok(())
}
