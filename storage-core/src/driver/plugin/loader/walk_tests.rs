//! Which ways are taken, in a directory of the test's own. Owners need root: the cases of `tests/integration` have those.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::walk::{open_plugin, plugins_in};
use crate::error::Kind;

/// A directory with a plugin, both of the user's alone.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("dir");
    let own = dir.path().join("own");
    fs::create_dir(&own).expect("mkdir");
    fs::write(own.join("a.so"), "").expect("write");
    mode(&own, 0o755);
    mode(&own.join("a.so"), 0o644);
    (dir, own)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn kind(path: &Path) -> Option<Kind> {
    open_plugin(path).err().map(|error| error.kind())
}

#[test]
fn what_others_may_write_to_is_not_opened() {
    let (_dir, own) = place();
    let file = own.join("a.so");
    assert_eq!(kind(&file), None);
    for bits in [0o664, 0o646, 0o1666] {
        mode(&file, bits);
        assert_eq!(kind(&file), Some(Kind::Permission), "a file of mode {bits:o}");
    }
    mode(&file, 0o644);
    for bits in [0o775, 0o757, 0o1777] {
        mode(&own, bits);
        assert_eq!(kind(&file), Some(Kind::Permission), "in a directory of mode {bits:o}");
        assert_eq!(plugins_in(&own).map_err(|error| error.kind()), Err(Kind::Permission), "mode {bits:o}");
    }
}

#[test]
fn a_link_is_as_good_as_the_way_to_its_target() {
    let (dir, own) = place();
    let open = dir.path().join("open");
    fs::create_dir(&open).expect("mkdir");
    fs::copy(own.join("a.so"), open.join("b.so")).expect("copy");
    mode(&open, 0o777);
    symlink("a.so", own.join("near.so")).expect("link");
    symlink("../open/b.so", own.join("far.so")).expect("link");
    symlink("../open", own.join("through")).expect("link");
    symlink("round.so", own.join("round.so")).expect("link");
    assert_eq!(kind(&own.join("near.so")), None);
    assert_eq!(kind(&own.join("../own/near.so")), None);
    assert_eq!(kind(&own.join("far.so")), Some(Kind::Permission));
    assert_eq!(kind(&own.join("through/../own/a.so")), Some(Kind::Permission));
    assert!(kind(&own.join("round.so")).is_some());
}

#[test]
fn only_whole_ways_to_regular_files_are_taken() {
    let (_dir, own) = place();
    fs::create_dir(own.join("dir.so")).expect("mkdir");
    fs::write(own.join("b.txt"), "").expect("write");
    assert_eq!(kind(Path::new("a.so")), Some(Kind::Usage));
    assert_eq!(kind(&own.join("dir.so")), Some(Kind::BadPlugin));
    assert_eq!(kind(&own.join("none.so")), Some(Kind::NotFound));
    assert_eq!(plugins_in(&own).expect("list"), [own.join("a.so"), own.join("dir.so")]);
}
