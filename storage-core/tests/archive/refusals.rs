//! What can't be kept is refused, and whatever has a measure is held to it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use storage_core::archive::tar::Entry;
use storage_core::archive::write::TarWriter;
use storage_core::archive::{Whiteouts, same_content};
use storage_core::driver::{Comparison, Naive, OwnerMaps, View};
use storage_core::{Kind, Task};

use crate::support::Member::{self, Dir, File as Regular};
use crate::support::{OVERLAY, archive, file, ingest_bytes, refused, scratch};

fn with_owner(uid: u32, gid: u32) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    tar.entry(&Entry { uid, gid, ..file("f", 0) }).unwrap();
    tar.finish().unwrap()
}

#[test]
fn the_number_that_means_no_owner_is_refused() {
    refused(&with_owner(u32::MAX, 0), OVERLAY, Kind::BadArchive, "a user in a record");
    refused(&with_owner(0, u32::MAX), OVERLAY, Kind::BadArchive, "a group in a record");
    for at in [108, 116] {
        let mut blob = archive(&[Regular("f", "")]);
        // In front of it stands a record of the time, of two blocks.
        let header = &mut blob[1024..1536];
        header[at..at + 8].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let error = ingest_bytes(&blob, &scratch().path().join("a"), OVERLAY).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::BadArchive);
        assert!(error.to_string().contains("can't be an owner"), "{error}");
    }
    let dir = scratch();
    ingest_bytes(&with_owner(u32::MAX - 1, 0), &dir.path().join("a"), OVERLAY).unwrap();
}

#[test]
fn more_attributes_than_a_file_can_have_are_refused() {
    let mut tar = TarWriter::new(Vec::new());
    let xattrs = (0..5000).map(|index| (format!("user.{index}").into_bytes(), Vec::new())).collect();
    tar.entry(&Entry { xattrs, ..file("f", 0) }).unwrap();
    refused(&tar.finish().unwrap(), OVERLAY, Kind::BadArchive, "5000 attributes");
}

#[test]
fn an_attribute_whose_name_a_record_can_not_hold_is_refused() {
    let mut tar = TarWriter::new(Vec::new());
    let xattrs = vec![(b"user.a=b".to_vec(), b"v".to_vec())];
    let error = tar.entry(&Entry { xattrs, ..file("some-file", 0) }).unwrap_err();
    assert_eq!(error.kind(), Kind::NotSupported);
    let told = error.to_string();
    assert!(told.contains("some-file") && told.contains("user.a=b"), "{told}");
}

#[test]
fn hiding_all_of_the_lower_root_is_refused_where_the_kernel_can_not_do_it() {
    for members in [vec![Regular(".wh..wh..opq", "")], vec![Member::Symlink("l", "."), Regular("l/.wh..wh..opq", "")]] {
        refused(&archive(&members), OVERLAY, Kind::NotSupported, "opaque root");
        let dir = scratch();
        ingest_bytes(&archive(&members), &dir.path().join("a"), Whiteouts::Apply).unwrap();
    }
}

#[test]
fn paths_longer_than_a_call_takes_are_compared_and_counted() {
    let dir = scratch();
    let long = format!("{}/", "p".repeat(200)).repeat(25);
    let deep = format!("{long}f");
    for (root, content) in [("a", "one"), ("b", "four")] {
        let members = [Dir(&long), Regular(&deep, content)];
        ingest_bytes(&archive(&members), &dir.path().join(root), OVERLAY).unwrap();
    }
    let open = |name: &str| File::open(dir.path().join(name)).unwrap();
    let (new, old) = (open("b"), open("a"));
    let path = PathBuf::from("/").join(&deep);
    let same = |other: &File| same_content(new.as_fd(), Some(other.as_fd()), &path, &Task::new("t")).unwrap();
    assert!(!same(&old), "the content differs");
    assert!(same(&new));
    assert!(same_content(new.as_fd(), Some(old.as_fd()), Path::new("/none/f"), &Task::new("t")).unwrap());
    let view = |file: File| View::new(file.into(), Vec::new());
    assert_eq!(Naive::new(view(new), Some(view(old)), OwnerMaps::default()).size(&Task::new("t")).unwrap(), 4);
}
