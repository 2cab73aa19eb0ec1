//! Extraction stays beneath its root, lets later entries win, and applies whiteouts in both ways.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use storage_core::archive::tar::{Entry, EntryKind, Time};
use storage_core::archive::write::TarWriter;
use storage_core::archive::{Ending, Ingest, Whiteouts, ingest};
use storage_core::{Cancel, Kind, Task};

use crate::support::Member::{Char, Dir, File as Regular, Hard, Symlink};
use crate::support::{OVERLAY, archive, file, ingest_bytes, picture, refused, round_trip, run, scratch};

fn xattr(dir: &Path, name: &str, key: &std::ffi::CStr) -> Option<Vec<u8>> {
    storage_core::fs::xattr::get(File::open(dir).unwrap().as_fd(), name.as_ref(), key).unwrap()
}

fn is_whiteout(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
}

#[test]
fn nothing_is_written_outside_of_the_root() {
    let outside = scratch();
    let target = outside.path().join("a");
    let target = target.to_str().unwrap();
    std::fs::write(outside.path().join("a/victim"), "untouched").unwrap();
    let before = picture(outside.path());
    let victim = format!("{target}/victim");
    for (what, members) in [
        ("..", vec![Regular("../evil", "x")]),
        ("inner ..", vec![Dir("d/"), Regular("d/../../evil", "x")]),
        ("link above", vec![Symlink("l", "../.."), Regular("l/evil", "x")]),
        ("absolute link", vec![Symlink("l", target), Regular("l/evil", "x")]),
        ("absolute link to a file", vec![Symlink("l", target), Regular("l/victim", "x")]),
        ("link to a link", vec![Symlink("m", "l/.."), Symlink("l", "d/../.."), Dir("d/"), Regular("m/evil", "x")]),
        ("loop", vec![Symlink("l", "m"), Symlink("m", "l"), Regular("l/evil", "x")]),
        ("dangling", vec![Symlink("l", "nothing"), Regular("l/evil", "x")]),
        ("hard link by ..", vec![Hard("h", "../victim")]),
        ("hard link by a link", vec![Symlink("l", target), Hard("h", "l/victim")]),
        ("directory behind a link", vec![Symlink("l", target), Dir("l/evil/")]),
        ("link behind a link", vec![Symlink("l", target), Symlink("l/evil", "x")]),
        ("whiteout by ..", vec![Regular("../.wh.victim", "")]),
        ("whiteout of ..", vec![Dir("d/"), Regular("d/.wh...", "")]),
        ("whiteout of .", vec![Dir("d/"), Regular("d/.wh..", "")]),
        ("whiteout of nothing", vec![Regular(".wh.", "")]),
        ("whiteout behind a link", vec![Symlink("l", target), Regular("l/.wh.victim", "")]),
        ("opaque behind a link", vec![Symlink("l", target), Regular("l/.wh..wh..opq", "")]),
        ("absolute name", vec![Regular("/evil", "x")]),
        ("absolute hard link", vec![Hard("h", &victim)]),
    ] {
        for whiteouts in [OVERLAY, Whiteouts::Apply] {
            refused(&archive(&members), whiteouts, Kind::Escape, what);
        }
    }
    assert_eq!(picture(outside.path()), before, "something outside was touched");
}

#[test]
fn a_link_that_stays_beneath_is_followed_to_its_directory() {
    for target in ["real/deep", "/real/deep", "./real/../real/deep/.", "via"] {
        let dir = scratch();
        let root = dir.path().join("a");
        let members = [
            Dir("real/"),
            Dir("real/deep/"),
            Symlink("via", "/real/deep"),
            Symlink("link", target),
            Regular("link/file", "content"),
            Regular("link/new/file", "below"),
            Hard("link/hard", "link/file"),
        ];
        round_trip(&archive(&members), &root, OVERLAY);
        assert_eq!(std::fs::read(root.join("real/deep/file")).unwrap(), b"content", "{target}");
        assert_eq!(std::fs::read(root.join("real/deep/new/file")).unwrap(), b"below", "{target}");
        assert_eq!(std::fs::read(root.join("real/deep/hard")).unwrap(), b"content", "{target}");
    }
}

#[test]
fn a_final_link_is_replaced_and_never_written_through() {
    let dir = scratch();
    let root = dir.path().join("a");
    let members = [Regular("target", "old"), Symlink("l", "target"), Regular("l", "new"), Symlink("d", "."), Dir("d/")];
    round_trip(&archive(&members), &root, OVERLAY);
    assert_eq!(std::fs::read(root.join("target")).unwrap(), b"old");
    assert_eq!(std::fs::read(root.join("l")).unwrap(), b"new");
    assert!(std::fs::symlink_metadata(root.join("d")).unwrap().is_dir());
}

#[test]
fn names_with_dots_lie_beneath_the_root() {
    let dir = scratch();
    let root = dir.path().join("a");
    round_trip(&archive(&[Regular("./etc/f", "1"), Regular("./x//y", "2"), Regular("a/../z", "3")]), &root, OVERLAY);
    for (name, content) in [("etc/f", "1"), ("x/y", "2"), ("z", "3")] {
        assert_eq!(std::fs::read_to_string(root.join(name)).unwrap(), content);
    }
    assert!(!root.join("a").exists());
}

#[test]
fn an_entry_for_the_root_gives_it_its_attributes() {
    let dir = scratch();
    let root = dir.path().join("a");
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("below")).unwrap();
    std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o751)).unwrap();
    run("touch", dir.path(), &["-d", "2001-02-03T04:05:06.789Z", "tree"]);
    run("tar", dir.path(), &["--format=pax", "-cf", "tree.tar", "-C", "tree", "."]);
    round_trip(&std::fs::read(dir.path().join("tree.tar")).unwrap(), &root, OVERLAY);
    let metadata = std::fs::metadata(&root).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o751, "the root's mode is its entry's");
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (981_173_106, 789_000_000), "and so is its time");
}

#[test]
fn the_later_entry_wins_unless_both_are_directories() {
    let dir = scratch();
    let root = dir.path().join("a");
    let members = [
        Regular("f", "first"),
        Regular("f", "second"),
        Dir("dir-file/"),
        Regular("dir-file/in", "x"),
        Regular("dir-file", "a file now"),
        Regular("file-dir", "x"),
        Dir("file-dir/"),
        Regular("file-dir/in", "in"),
        Dir("both/"),
        Regular("both/in", "stays"),
        Dir("both/"),
        Symlink("s", "one"),
        Symlink("s", "two"),
        Regular("one", "1"),
        Regular("two", "2"),
        Hard("two", "one"),
        Hard("one", "one"),
    ];
    round_trip(&archive(&members), &root, OVERLAY);
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    assert_eq!((read("f"), read("dir-file"), read("file-dir/in")), ("second".into(), "a file now".into(), "in".into()));
    assert_eq!((read("both/in"), read("one"), read("two")), ("stays".into(), "1".into(), "1".into()));
    assert_eq!(std::fs::read_link(root.join("s")).unwrap(), Path::new("two"));
}

#[test]
fn a_file_in_place_of_a_directory_is_refused() {
    refused(&archive(&[Regular("f", "x"), Regular("f/in", "x")]), OVERLAY, Kind::BadArchive, "a file as a directory");
    refused(&archive(&[Regular("./", "x")]), OVERLAY, Kind::BadArchive, "a file as the root");
}

#[test]
fn directories_have_the_times_of_their_entries_whatever_follows() {
    let dir = scratch();
    let root = dir.path().join("a");
    let members = [
        Dir("d/"),
        Dir("d/sub/"),
        Regular("d/sub/f", "x"),
        Regular("d/f", "x"),
        Regular("other", "x"),
        Regular("d/sub/g/h", "x"),
    ];
    round_trip(&archive(&members), &root, OVERLAY);
    for name in ["d", "d/sub"] {
        let meta = std::fs::metadata(root.join(name)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 5), "{name}");
    }
}

#[test]
fn directories_that_no_entry_names_are_made() {
    let dir = scratch();
    let root = dir.path().join("a");
    round_trip(&archive(&[Regular("x/y/z", "1")]), &root, OVERLAY);
    let meta = std::fs::metadata(root.join("x/y")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o7777, meta.uid()), (0o755, 0));
}

#[test]
fn overlay_whiteouts_become_devices_and_attributes() {
    for (user_xattr, key) in [(false, c"trusted.overlay.opaque"), (true, c"user.overlay.opaque")] {
        let dir = scratch();
        let root = dir.path().join("a");
        let members = [
            Dir("d/"),
            Regular("d/.wh.gone", ""),
            Dir("o/"),
            Regular("o/kept", "x"),
            Regular("o/.wh..wh..opq", ""),
            Regular("o/.wh..wh.plnk", ""),
            Regular(".wh.hidden", ""),
            Regular("hidden/.wh.below", ""),
            Regular("hidden/deeper/.wh.below", ""),
            Regular(".wh.again", ""),
            Dir("again/"),
            Regular("again/in", "x"),
        ];
        round_trip(&archive(&members), &root, Whiteouts::Overlay { user_xattr });
        assert!(is_whiteout(&root.join("d/gone")) && is_whiteout(&root.join("hidden")));
        assert_eq!(xattr(&root, "o", key), Some(b"y".to_vec()));
        assert_eq!(xattr(&root, "again", key), Some(b"y".to_vec()), "a directory behind its whiteout hides lower ones");
        assert_eq!(xattr(&root, "d", key), None);
        let mut names: Vec<_> = picture(&root).into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, ["again", "again/in", "d", "d/gone", "hidden", "o", "o/kept"]);
    }
}

#[test]
fn a_directory_in_place_of_anything_else_hides_lower_ones_too() {
    let dir = scratch();
    let root = dir.path().join("a");
    std::fs::write(root.join("before"), "x").unwrap();
    std::fs::create_dir(root.join("stays")).unwrap();
    let members = [Regular("f", "x"), Dir("f/"), Symlink("s", "stays"), Dir("s/"), Dir("before/"), Dir("stays/")];
    ingest_bytes(&archive(&members), &root, OVERLAY).unwrap();
    for (name, opaque) in [("f", true), ("s", true), ("before", true), ("stays", false)] {
        assert_eq!(xattr(&root, name, c"trusted.overlay.opaque").is_some(), opaque, "{name}");
    }
}

#[test]
fn an_opaque_whiteout_removes_what_the_layer_itself_had() {
    let members = [
        Dir("o/"),
        Regular("o/both", "upper"),
        Regular("o/old/new", "upper"),
        Regular("o/.wh..wh..opq", ""),
        Regular("o/after", "upper"),
    ];
    for with_split in [true, false] {
        let dir = scratch();
        let root = dir.path().join("a");
        std::fs::create_dir_all(root.join("o/old/deep")).unwrap();
        for name in ["o/old/deep/f", "o/f", "o/both", "stays"] {
            std::fs::write(root.join(name), "before").unwrap();
        }
        if with_split {
            round_trip(&archive(&members), &root, OVERLAY);
        } else {
            let fd = File::open(&root).unwrap();
            ingest(&archive(&members)[..], fd.as_fd(), Ingest::new(OVERLAY), &Task::new("ingest")).unwrap();
        }
        let names: Vec<_> = picture(&root).into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["o", "o/after", "o/both", "o/old", "o/old/new", "stays"]);
        assert_eq!(xattr(&root, "o", c"trusted.overlay.opaque"), Some(b"y".to_vec()));
        assert_eq!(std::fs::read(root.join("o/both")).unwrap(), b"upper");
    }
}

#[test]
fn applied_whiteouts_remove_what_was_there() {
    let dir = scratch();
    let root = dir.path().join("a");
    std::fs::create_dir_all(root.join("o/old/deep")).unwrap();
    std::fs::create_dir_all(root.join("tree/with/files")).unwrap();
    for name in ["o/old/deep/f", "o/f", "tree/with/files/f", "gone", "stays", "o/both"] {
        std::fs::write(root.join(name), "lower").unwrap();
    }
    std::os::unix::fs::symlink("../stays", root.join("tree/link")).unwrap();
    let members = [
        Dir("o/"),
        Regular("o/both", "upper"),
        Regular("o/old/new", "upper"),
        Regular("o/.wh..wh..opq", ""),
        Regular("o/after", "upper"),
        Regular(".wh.tree", ""),
        Regular(".wh.gone", ""),
        Regular(".wh.never-there", ""),
    ];
    round_trip(&archive(&members), &root, Whiteouts::Apply);
    let names: Vec<_> = picture(&root).into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["o", "o/after", "o/both", "o/old", "o/old/new", "stays"]);
    assert_eq!(std::fs::read(root.join("o/both")).unwrap(), b"upper");
}

#[test]
fn a_tree_deeper_than_the_limit_of_descriptors_is_removed() {
    let dir = scratch();
    let root = dir.path().join("a");
    let deep = "d/".repeat(1500);
    let members = [Regular(&format!("{deep}f"), "x"), Regular("keep", "x"), Regular(".wh.d", "")];
    round_trip(&archive(&members), &root, Whiteouts::Apply);
    assert_eq!(picture(&root).len(), 1);
}

#[test]
fn owners_of_whiteouts_are_not_those_of_the_layer() {
    let mut tar = TarWriter::new(Vec::new());
    for (name, uid) in [("a", 5), (".wh.b", 77), ("c", 3), ("d", 5)] {
        tar.entry(&Entry { uid, gid: uid + 100, ..file(name, 0) }).unwrap();
    }
    let dir = scratch();
    let ingested = round_trip(&tar.finish().unwrap(), &dir.path().join("a"), OVERLAY);
    assert_eq!((ingested.uids, ingested.gids, ingested.entries), (vec![3, 5], vec![103, 105], 4));
}

#[test]
fn an_archive_can_not_set_what_the_overlay_keeps_for_itself() {
    let mut tar = TarWriter::new(Vec::new());
    let keys =
        ["trusted.overlay.redirect", "trusted.overlay.opaque", "user.overlay.metacopy", "security.selinux", "user.ok"];
    let xattrs = keys.iter().map(|key| (key.as_bytes().to_vec(), b"/secret".to_vec())).collect();
    tar.entry(&Entry { kind: EntryKind::Directory, mode: 0o755, xattrs, ..file("d/", 0) }).unwrap();
    let dir = scratch();
    round_trip(&tar.finish().unwrap(), &dir.path().join("a"), OVERLAY);
    let fd = File::open(dir.path().join("a")).unwrap();
    let names = storage_core::fs::xattr::list(fd.as_fd(), "d".as_ref()).unwrap();
    assert!(
        names.iter().all(|name| name.as_c_str() == c"user.ok" || name.as_c_str() == c"security.selinux"),
        "{names:?}"
    );
    assert_ne!(xattr(&dir.path().join("a"), "d", c"security.selinux"), Some(b"/secret".to_vec()));
}

#[test]
fn devices_are_left_out_in_a_user_namespace() {
    let dir = scratch();
    let root = File::open(dir.path().join("a")).unwrap();
    let options = Ingest { in_user_ns: true, ..Ingest::new(OVERLAY) };
    let blob = archive(&[Char("null", 1, 3), Regular("f", "x")]);
    ingest(&blob[..], root.as_fd(), options, &Task::new("ingest")).unwrap();
    assert!(!dir.path().join("a/null").exists() && dir.path().join("a/f").exists());
    round_trip(&blob, &dir.path().join("b"), OVERLAY);
    assert!(dir.path().join("b/null").exists());
}

#[test]
fn an_archive_without_its_end_is_complete_only_on_request() {
    let whole = archive(&[Regular("f", "x")]);
    let blob = &whole[..whole.len() - 1024];
    refused(blob, OVERLAY, Kind::BadArchive, "without its end");
    let dir = scratch();
    let root = File::open(dir.path().join("a")).unwrap();
    let options = Ingest { ending: Ending::Optional, ..Ingest::new(OVERLAY) };
    assert_eq!(ingest(blob, root.as_fd(), options, &Task::new("ingest")).unwrap().entries, 1);
}

#[test]
fn names_longer_than_a_path_may_be_are_made() {
    let dir = scratch();
    let long = format!("{}/", "p".repeat(200)).repeat(30);
    let members =
        [Regular(&format!("{long}f"), "x"), Regular(&format!("{long}g"), "y"), Hard("h", &format!("{long}f"))];
    let (ingested, _) = ingest_bytes(&archive(&members), &dir.path().join("a"), OVERLAY).unwrap();
    assert_eq!(ingested.entries, 3);
    assert_eq!(std::fs::read(dir.path().join("a/h")).unwrap(), b"x");
}

#[test]
fn headers_without_measure_are_refused() {
    let mut huge = TarWriter::new(Vec::new());
    huge.entry(&Entry { xattrs: vec![(b"user.x".to_vec(), vec![1; 9 << 20])], ..file("f", 0) }).unwrap();
    refused(&huge.finish().unwrap(), OVERLAY, Kind::BadArchive, "9 MiB of records");
    let mut wrong = archive(&[Regular("f", "x")]);
    wrong[0] ^= 1;
    refused(&wrong, OVERLAY, Kind::BadArchive, "a wrong checksum");
}

#[test]
fn a_cancelled_ingest_stops() {
    let dir = scratch();
    let root = File::open(dir.path().join("a")).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let task = Task::new("ingest").cancelled_by(cancel);
    let blob = archive(&[Regular("f", "x"), Regular("g", "x")]);
    let error = ingest(&blob[..], root.as_fd(), Ingest::new(OVERLAY), &task).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn a_time_of_access_before_the_last_change_is_that_of_the_change() {
    let mut tar = TarWriter::new(Vec::new());
    tar.entry(&Entry { mtime: Time { seconds: -7, nanos: 250_000_000 }, mode: 0o6755, uid: 9, ..file("f", 0) })
        .unwrap();
    let dir = scratch();
    round_trip(&tar.finish().unwrap(), &dir.path().join("a"), OVERLAY);
    let meta = std::fs::metadata(dir.path().join("a/f")).unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec(), meta.atime()), (-7, 250_000_000, -7));
    assert_eq!(meta.permissions().mode() & 0o7777, 0o6755, "a change of owner cleared the bits");
}
