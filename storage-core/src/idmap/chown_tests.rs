use super::*;
use crate::fs::{open_directory, xattr};
use crate::idmap::{Maps, parse_map};
use crate::task::Cancel;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

fn maps(text: &str) -> Maps {
    Maps::new(parse_map(text).expect("map"), Vec::new()).expect("maps")
}

fn to_100_000() -> Shift {
    Shift::new(Maps::NONE, maps("0:100000:65536"))
}

fn run(tree: &Path, shift: &Shift, threads: Threads) -> Result<()> {
    chown_tree(open_directory(tree).expect("open"), tree, shift, threads, &Task::new("chown"))
}

fn owner(path: &Path) -> (u32, u32) {
    let stat = std::fs::symlink_metadata(path).expect("lstat");
    (stat.uid(), stat.gid())
}

fn many() -> Threads {
    Threads::at_most(NonZeroUsize::new(4).expect("four"))
}

/// A second-version capability: `cap_net_raw` permitted and effective.
fn capability() -> Vec<u8> {
    let mut value = 0x0200_0001_u32.to_le_bytes().to_vec();
    value.extend([0, 0x20, 0, 0].iter().chain(&[0; 12]));
    value
}

fn attribute(path: &Path, key: &std::ffi::CStr) -> Option<Vec<u8>> {
    let dir = open_directory(path.parent().expect("parent")).expect("open");
    xattr::get(dir.as_fd(), path.file_name().expect("name"), key).expect("getxattr")
}

#[test]
fn a_wide_and_deep_tree_is_changed_whole_by_one_thread_and_by_four() {
    for threads in [Threads::ONE, many()] {
        let dir = tempfile::tempdir().expect("dir");
        let tree = dir.path().join("tree");
        let deep: PathBuf = std::iter::once(tree.clone()).chain((0..60).map(|n| format!("d{n}").into())).collect();
        std::fs::create_dir_all(&deep).expect("mkdir");
        for n in 0..200 {
            let sub = tree.join(format!("w{}", n % 20)).join(n.to_string());
            std::fs::create_dir_all(&sub).expect("mkdir");
            std::fs::write(sub.join("f"), "x").expect("write");
            lchown(sub.join("f"), Some(n), Some(n + 1)).expect("chown");
        }
        let task = Task::new("chown");
        chown_tree(open_directory(&tree).expect("open"), &tree, &to_100_000(), threads, &task).expect("chown");
        for n in 0..200 {
            let sub = tree.join(format!("w{}", n % 20)).join(n.to_string());
            assert_eq!((owner(&sub), owner(&sub.join("f"))), ((100_000, 100_000), (100_000 + n, 100_001 + n)));
        }
        assert_eq!((owner(&tree), owner(&deep)), ((100_000, 100_000), (100_000, 100_000)));
        assert_eq!(task.progress().entries, 1 + 60 + 20 + 200 + 200, "something was changed twice or not at all");
    }
}

#[test]
fn links_are_not_followed_and_files_with_two_names_are_shifted_once() {
    let dir = tempfile::tempdir().expect("dir");
    let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
    std::fs::create_dir_all(tree.join("sub")).expect("mkdir");
    std::fs::write(&outside, "x").expect("write");
    symlink(&outside, tree.join("link")).expect("symlink");
    symlink(dir.path(), tree.join("up")).expect("symlink");
    std::fs::write(tree.join("one"), "x").expect("write");
    std::fs::hard_link(tree.join("one"), tree.join("sub/two")).expect("link");
    // Shifted twice, an id would leave the maps or be 200 too high.
    run(&tree, &Shift::new(maps("0:0:1000"), maps("0:100:1000")), many()).expect("chown");
    assert_eq!(owner(&outside), (0, 0), "a link was followed");
    assert_eq!((owner(&tree.join("link")), owner(&tree.join("up"))), ((100, 100), (100, 100)));
    assert_eq!((owner(&tree.join("one")), owner(&tree.join("sub/two"))), ((100, 100), (100, 100)));
}

#[test]
fn capabilities_special_bits_and_times_outlast_the_change() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).expect("mkdir");
    let (file, fd) = (tree.join("f"), open_directory(&tree).expect("open"));
    std::fs::write(&file, "x").expect("write");
    xattr::set(fd.as_fd(), OsStr::new("f"), c"security.capability", &capability()).expect("setxattr");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o6755)).expect("chmod");
    let before = std::fs::metadata(&file).expect("stat").modified().expect("mtime");
    run(&tree, &to_100_000(), Threads::ONE).expect("chown");
    let after = std::fs::metadata(&file).expect("stat");
    assert_eq!(owner(&file), (100_000, 100_000));
    assert_eq!(after.mode() & 0o7777, 0o6755, "special bits were lost");
    assert_eq!(after.modified().expect("mtime"), before);
    assert_eq!(attribute(&file, c"security.capability"), Some(capability()));
}

#[test]
fn acls_name_the_shifted_ids() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).expect("mkdir");
    std::fs::write(tree.join("f"), "x").expect("write");
    let entry =
        |tag: u16, mode: u16, id: u32| [&tag.to_le_bytes()[..], &mode.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let acl = |user| {
        let entries = [entry(1, 6, none), entry(2, 4, user), entry(4, 4, none), entry(16, 4, none), entry(32, 4, none)];
        [vec![2, 0, 0, 0], entries.concat()].concat()
    };
    let fd = open_directory(&tree).expect("open");
    xattr::set(fd.as_fd(), OsStr::new("f"), c"system.posix_acl_access", &acl(33)).expect("this filesystem has ACLs");
    run(&tree, &to_100_000(), Threads::ONE).expect("chown");
    assert_eq!(attribute(&tree.join("f"), c"system.posix_acl_access"), Some(acl(100_033)));
}

#[test]
fn an_owner_outside_the_maps_is_named_with_its_path() {
    let dir = tempfile::tempdir().expect("dir");
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a")).expect("mkdir");
    std::fs::write(tree.join("a/f"), "x").expect("write");
    lchown(tree.join("a/f"), Some(7), Some(70_000)).expect("chown");
    let error = run(&tree, &to_100_000(), many()).expect_err("a group outside the maps");
    assert_eq!(error.kind(), Kind::InvalidMappings);
    assert_eq!(error.path(), Some(tree.join("a/f").as_path()));
    assert!(error.to_string().contains("7:70000"), "{error}");
}

#[test]
fn a_cancelled_walk_stops_all_threads() {
    let dir = tempfile::tempdir().expect("dir");
    for n in 0..50 {
        std::fs::create_dir_all(dir.path().join(format!("tree/{n}/x"))).expect("mkdir");
    }
    let (tree, cancel) = (dir.path().join("tree"), Cancel::default());
    cancel.cancel();
    let task = Task::new("chown").cancelled_by(cancel);
    let stopped = chown_tree(open_directory(&tree).expect("open"), &tree, &to_100_000(), many(), &task);
    assert_eq!(stopped.map_err(|error| error.kind()), Err(Kind::Cancelled));
}
