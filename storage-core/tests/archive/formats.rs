//! What GNU tar writes in each of its formats is extracted as GNU tar extracts it, and comes back bit for bit.

use crate::support::{
    OVERLAY, assert_same, gnu_extract, gnu_tar, picture, rich_tree, richer_tree, round_trip, scratch,
};

fn check(args: &[&str], make: fn(&std::path::Path)) {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    make(&at("a"));
    let archive = gnu_tar(&at("a"), &[args, &["-c", "--numeric-owner", "."]].concat());
    gnu_extract(&archive, &at("b"));
    round_trip(&archive, &at("c"), OVERLAY);
    assert_same(&picture(&at("b")), &picture(&at("c")), &format!("{args:?}"));
}

#[test]
fn gnu() {
    check(&["--format=gnu"], rich_tree);
}

#[test]
fn old_gnu() {
    check(&["--format=oldgnu"], rich_tree);
}

#[test]
fn pax() {
    check(&["--format=posix", "--xattrs", "--xattrs-include=*"], richer_tree);
}

#[test]
fn pax_without_times_of_access() {
    check(&["--format=posix", "--pax-option=delete=atime,delete=ctime,globexthdr.x=y"], rich_tree);
}

#[test]
fn ustar() {
    check(&["--format=ustar", "--exclude=*ee*", "--exclude=long-link"], |root| {
        rich_tree(root);
        std::fs::remove_file(root.join("n".repeat(120))).unwrap();
    });
}

#[test]
fn v7() {
    check(&["--format=v7"], |root| {
        std::fs::create_dir(root.join("dir")).unwrap();
        std::fs::write(root.join("dir/file"), "content").unwrap();
        std::fs::hard_link(root.join("dir/file"), root.join("hard")).unwrap();
    });
}

fn holes(root: &std::path::Path) {
    use std::os::unix::fs::FileExt;
    for (name, pieces, size) in [
        ("few", 2, 3_000_000_u64),
        ("many", 60, 9_000_000),
        ("end", 1, 100_000),
        ("none", 0, 1_000_000),
        ("odd", 1, 70_001),
    ] {
        let file = std::fs::File::create(root.join(name)).unwrap();
        for piece in 0..pieces {
            file.write_all_at(&[piece as u8 + 1; 5000], piece * (size / pieces) / 4096 * 4096).unwrap();
        }
        file.set_len(size).unwrap();
    }
    std::fs::write(root.join("behind"), "a plain file behind sparse ones").unwrap();
}

#[test]
fn sparse_in_each_version() {
    for args in [
        &["--format=gnu", "-S"][..],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=posix", "-S", "--sparse-version=1.0"],
    ] {
        check(args, holes);
    }
}

#[test]
fn holes_are_written_as_holes() {
    use std::os::unix::fs::MetadataExt;
    let dir = scratch();
    holes(&dir.path().join("a"));
    let archive = gnu_tar(&dir.path().join("a"), &["--format=posix", "-S", "-c", "."]);
    round_trip(&archive, &dir.path().join("b"), OVERLAY);
    let meta = std::fs::metadata(dir.path().join("b/many")).unwrap();
    assert_eq!(meta.len(), 9_000_000);
    assert!(meta.blocks() * 512 < 2_000_000, "{} blocks: the holes were filled", meta.blocks());
}

#[test]
fn numbers_in_base_256() {
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a").join("f"), "x").unwrap();
    let archive =
        gnu_tar(&at("a"), &["--format=gnu", "--owner=:3000000", "--group=:4000000", "--mtime=@-5", "-c", "f"]);
    let ingested = round_trip(&archive, &at("b"), OVERLAY);
    assert_eq!((ingested.uids, ingested.gids), (vec![3_000_000], vec![4_000_000]));
    let meta = std::fs::metadata(at("b").join("f")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&meta), -5);
}
