//! Containers with id maps over an image of ten thousand files: what they see, what it costs, and who owns what they write.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, finish, must};
use integration::tree::{self, Tree};
use integration::{Outcome, Scratch, archive, invariants, machine};
use rustix::fs::XattrFlags;
use serde_json::Value;
use storage_core::idmap::{IdMap, Maps, Namespace};

pub(crate) const CASES: &[Case] = &[
    case("id_maps::shown_mapped_without_a_copy_on_xfs::overlay", 240, |s| shown(s, "xfs")),
    case("id_maps::shown_mapped_without_a_copy_on_ext4::overlay", 240, |s| shown(s, "ext4")),
    case("id_maps::copied_once_where_it_cant_be_shown::overlay", 400, |s| copied(s, "overlay")),
    case("id_maps::copied_once_where_it_cant_be_shown::vfs", 400, |s| copied(s, "vfs")),
    case("id_maps::copied_once_where_it_cant_be_shown::btrfs", 400, |s| copied(s, "btrfs")),
    case("id_maps::a_map_of_users_alone_leaves_groups_as_they_are::overlay", 60, users_alone),
    case("id_maps::killed_while_a_copy_is_made::overlay", 300, |s| killed(s, "overlay")),
    case("id_maps::killed_while_a_copy_is_made::vfs", 300, |s| killed(s, "vfs")),
    case("id_maps::killed_while_a_copy_is_made::btrfs", 300, |s| killed(s, "btrfs")),
];

/// The reference's switch that takes id-mapped mounts away.
pub(crate) const NO_IDMAP: &str = "_CONTAINERS_OVERLAY_DISABLE_IDMAP";
/// The maps of most cases: users and groups differ, so that a mixture shows.
const USERS: u32 = 100_000;
const GROUPS: u32 = 300_000;

/// `--uidmap 0:100000:65536 --gidmap 0:300000:65536`.
pub(crate) const MAPS: [&str; 4] = ["--uidmap", "0:100000:65536", "--gidmap", "0:300000:65536"];

/// A tree of ten thousand files with owners, set-id bits, a capability, links, and an id at the end of the map.
pub(crate) fn many_files(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let root = scratch.make("made");
    for dir in 0..100_u32 {
        let dir_path = root.join(format!("dir{dir}"));
        fs::create_dir(&dir_path).expect("make a directory");
        for file in 0..100_u32 {
            let path = dir_path.join(format!("file{file}"));
            fs::write(&path, format!("{dir} {file}")).expect("write a file");
            chown(&path, Some(file), Some(dir)).expect("give a file away");
        }
        chown(&dir_path, Some(dir), Some(dir)).expect("give a directory away");
    }
    let put = |name: &str, mode: u32, owner: u32| {
        archive::put(&root, name, name);
        chown(root.join(name), Some(owner), Some(owner)).expect("give a file away");
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect("set a mode");
    };
    put("etc/passwd", 0o644, 0);
    put("set-user-id", 0o4755, 33);
    put("set-group-id", 0o2755, 44);
    put("last", 0o600, 65_535);
    put("capable", 0o755, 7);
    // cap_net_bind_service=ep, as version 2 of the capability attribute.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = rustix::fs::lsetxattr(root.join("capable"), "security.capability", &capability, XattrFlags::empty());
    set.expect("give a file a capability");
    fs::hard_link(root.join("last"), root.join("last-too")).expect("make a link");
    std::os::unix::fs::symlink("last", root.join("link")).expect("make a link");
    std::os::unix::fs::lchown(root.join("link"), Some(12), Some(13)).expect("give a link away");
    let file = scratch.join("made.tar");
    archive::pack(&root, &file, "pax");
    (root, file)
}

/// An image called `image` with the top layer `base`.
pub(crate) fn image(store: &Store, archive: &Path) {
    store.import("base", None, archive);
    store.ok(&["create-image", "-n", "image", "base"]);
}

/// The record of a container.
pub(crate) fn container(store: &Store, id: &str) -> Value {
    let all: Value = serde_json::from_str(&store.ok(&["containers", "-j"])).expect("containers -j writes JSON");
    let found = all.as_array().into_iter().flatten().find(|record| record["id"] == id);
    found.unwrap_or_else(|| panic!("there is no container {id}")).clone()
}

/// The copies with other owners that an image notes.
pub(crate) fn copies(store: &Store) -> Vec<String> {
    let all: Value = serde_json::from_str(&store.ok(&["images", "-j"])).expect("images -j writes JSON");
    let noted = all[0]["mapped-layers"].as_array().cloned().unwrap_or_default();
    noted.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The tree below `root` with the owners that the container sees.
fn inside(mut tree: Tree, users: u32, groups: u32) -> Tree {
    for entry in tree.values_mut() {
        entry.uid = entry.uid.checked_sub(users).expect("a user of the container's");
        entry.gid = entry.gid.checked_sub(groups).expect("a group of the container's");
        // The kernel tells those outside for which root a capability is; inside it is a plain one.
        if let Some(value) = entry.xattrs.get_mut(&b"security.capability"[..])
            && value.len() == 24
        {
            assert_eq!(value.split_off(20), users.to_le_bytes(), "a capability of another namespace's");
            value[3] = 2;
        }
    }
    tree
}

/// A command in a user namespace with the maps of most cases, as its root, in the directory `at`.
fn as_root_inside(at: &Path, program: &[&str]) -> Command {
    let map = |host: u32| vec![IdMap { container_id: 0, host_id: host.into(), size: 65_536 }];
    let maps = Maps { uids: map(USERS), gids: map(GROUPS) };
    let namespace = Namespace::of(&maps).expect("a user namespace");
    let file = format!("--user=/proc/{}/fd/{}", std::process::id(), namespace.as_fd().as_raw_fd());
    let mut command = Command::new("nsenter");
    // The namespace is kept by the library, which keeps the latest ones.
    command.arg(file).args(["--setuid=0", "--setgid=0", "--"]).args(program).current_dir(at);
    command
}

const FIND: [&str; 6] = ["find", ".", "-mindepth", "1", "-printf", "%P %y %m %U:%G %s\\n"];

/// What a command lists, sorted, without the sizes of directories.
fn listed(command: Command) -> String {
    let text = must(command);
    let size_of = |line: &str| line.contains(" d ");
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| if size_of(line) { line.rsplit_once(' ').map_or(line, |(line, _)| line) } else { line })
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Compares what the container's root lists with what was packed.
fn assert_listed_the_same(root: &Path, made: &Path) {
    let mut plain = Command::new(FIND[0]);
    plain.args(&FIND[1..]).current_dir(made);
    let (seen, wanted) = (listed(as_root_inside(root, &FIND)), listed(plain));
    let different = seen.lines().zip(wanted.lines()).find(|(seen, wanted)| seen != wanted);
    assert!(seen == wanted, "seen from inside, and packed: {different:?}");
}

/// How many inodes of the filesystem at `path` are used.
fn inodes(path: &Path) -> u64 {
    let stat = nix::sys::statvfs::statvfs(path).expect("statvfs");
    stat.files() - stat.files_free()
}

fn shown(scratch: &Scratch, kind: &str) -> Outcome {
    let (made, file) = many_files(scratch);
    let disk = scratch.small_disk("disk", 2 << 30, kind)?;
    let store = Store::at(&disk.join("root"), &disk.join("run"), "overlay");
    image(&store, &file);
    let before = inodes(&disk);
    store.ok(&[&["create-container", "-i", "one"], &MAPS[..], &["image"]].concat());
    store.ok(&[
        &["create-container", "-i", "two", "--uidmap", "0:700000:65536", "--gidmap", "0:700000:65536"],
        &["image"][..],
    ]
    .concat());
    let root = store.mount("one");
    let tree = inside(tree::read(&root), USERS, GROUPS);
    tree::assert_same_below_root("the container's files, with its ids, and what was packed", &tree, &tree::read(&made));
    assert_listed_the_same(&root, &made);
    assert_eq!(copies(&store), Vec::<String>::new(), "a copy was noted");
    assert!(inodes(&disk) < before + 200, "two containers took {} inodes", inodes(&disk) - before);

    write_and_compare(&store, "one", &root);
    let other = store.mount("two");
    let mut tree = tree::read(&other);
    tree.remove(Path::new(""));
    assert!(tree.values().all(|entry| entry.uid >= 700_000 && entry.gid >= 700_000), "the other container's own ids");
    assert!(!other.join("new").exists(), "what one wrote is seen by the other");
    clean_up(&store);
    Ok(())
}

/// Writes as the container's root would, and looks at what the diff says.
fn write_and_compare(store: &Store, name: &str, root: &Path) {
    let script = "mkdir new; echo x > new/file; echo y >> dir3/file4; rm dir5/file6; chown 9:8 new/file";
    must(as_root_inside(root, &["sh", "-ec", script]));
    let made = fs::metadata(root.join("new/file")).expect("stat what was written");
    assert_eq!((made.uid(), made.gid()), (USERS + 9, GROUPS + 8), "the owner on the host of what was written");
    let edited = fs::metadata(root.join("dir3/file4")).expect("stat what was changed");
    assert_eq!((edited.uid(), edited.gid()), (USERS + 4, GROUPS + 3), "the owner on the host of what was changed");

    let layer = container(store, name)["layer"].as_str().expect("a layer").to_owned();
    let changes = store.changes(&layer);
    for wanted in ["A /new", "A /new/file", "C /dir3", "C /dir3/file4", "C /dir5", "D /dir5/file6"] {
        assert!(changes.contains(&wanted.to_owned()), "{wanted} is missing in {changes:?}");
    }
    assert_eq!(changes.len(), 6, "only what was changed differs: {changes:?}");
    let file = store.root.with_extension("tar");
    store.diff_to(&layer, &file);
    let diff = owners(&file);
    for wanted in ["0/0 new/", "9/8 new/file", "3/3 dir3/", "4/3 dir3/file4", "5/5 dir5/"] {
        assert!(diff.contains(&wanted.to_owned()), "{wanted} is missing in the diff: {diff:?}");
    }
    // Against what is empty, every file is in it.
    store.ok(&["create-layer", "-i", "nothing"]);
    store.ok(&["diff", "-u", "-f", file.to_str().expect("a printable path"), &layer, "nothing"]);
    let whole = owners(&file);
    for wanted in ["9/8 dir8/file9", "9/8 new/file", "65535/65535 last"] {
        assert!(whole.contains(&wanted.to_owned()), "{wanted} is missing in the whole diff of {} entries", whole.len());
    }
    store.delete("nothing");
}

/// `USER/GROUP PATH` of each entry of an archive.
fn owners(archive: &Path) -> Vec<String> {
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "-tvf"]).arg(archive);
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", fields[1], fields[5])
    };
    must(tar).lines().map(line).collect()
}

fn copied(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (made, file) = many_files(scratch);
    let store = Store::new(scratch, "store", driver).with_env(NO_IDMAP, "yes");
    image(&store, &file);
    let create = |id: &str, maps: &[&str]| store.ok(&[&["create-container", "-i", id], maps, &["image"]].concat());
    let before = inodes(scratch.path());
    create("one", &MAPS);
    let noted = copies(&store);
    assert_eq!(noted.len(), 1, "the copy is noted: {noted:?}");
    let record = store.record(&noted[0]);
    assert_eq!((&record["uidmap"][0]["host_id"], &record["gidmap"][0]["host_id"]), (&USERS.into(), &GROUPS.into()));
    assert!(record.get("parent").is_none_or(|parent| parent == ""), "the copy stands beside its model: {record}");
    // btrfs has no number of inodes, and tells none.
    assert!(driver == "btrfs" || inodes(scratch.path()) >= before + 10_000, "a copy has inodes of its own");
    create("two", &MAPS);
    assert_eq!(copies(&store), noted, "the copy is found by the next container with these maps");
    create("three", &["--uidmap", "0:500000:65536", "--gidmap", "0:500000:65536"]);
    assert_eq!(copies(&store).len(), 2, "other maps take another copy");
    create("four", &[]);
    assert_eq!(copies(&store).len(), 2, "no maps take no copy");

    let same = ["--uidmap", "0:600000:65536", "--gidmap", "0:600000:65536", "image"];
    let at_once: Vec<_> = (0..3).map(|_| store.start(&[&["create-container"], &same[..]].concat())).collect();
    for child in at_once {
        let (status, text) = finish(child);
        assert!(status.success(), "one of three failed: {text}");
    }
    assert_eq!(copies(&store).len(), 3, "three at once with the same maps keep one copy");

    for name in ["one", "two"] {
        let root = store.mount(name);
        let tree = inside(tree::read(&root), USERS, GROUPS);
        tree::assert_same_below_root("the container's files, with its ids", &tree, &tree::read(&made));
        assert_listed_the_same(&root, &made);
    }
    let plain = tree::read(&store.mount("four"));
    tree::assert_same_below_root("a container without maps", &plain, &tree::read(&made));
    if driver == "overlay" {
        write_and_compare(&store, "one", &store.mount("one"));
    }
    clean_up(&store);
    Ok(())
}

/// Deletes containers and the image, and expects every layer to go with them.
pub(crate) fn clean_up(store: &Store) {
    let all: Value = serde_json::from_str(&store.ok(&["containers", "-j"])).expect("containers -j writes JSON");
    for record in all.as_array().into_iter().flatten() {
        store.ok(&["unmount", "--force", record["layer"].as_str().expect("a layer")]);
        store.ok(&["delete-container", record["id"].as_str().expect("an id")]);
    }
    store.ok(&["delete-image", "image"]);
    assert_eq!(store.ids(), Vec::<String>::new(), "copies go with their image");
    invariants::assert_clean(store, "after everything was deleted");
}

fn users_alone(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "overlay");
    let made = scratch.make("made");
    archive::put(&made, "file", "x");
    chown(made.join("file"), Some(5), Some(6)).expect("give a file away");
    let file = scratch.join("made.tar");
    archive::pack(&made, &file, "pax");
    image(&store, &file);
    store.ok(&["create-container", "-i", "one", "--uidmap", "0:100000:1000", "image"]);
    let record = container(&store, "one");
    assert!(record.get("gidmap").is_none_or(Value::is_null), "groups got a map: {record}");
    let seen = fs::metadata(store.mount("one").join("file")).expect("stat a file");
    assert_eq!((seen.uid(), seen.gid()), (100_005, 6));
    store.unmount("one");
    Ok(())
}

/// SIGKILL before calls that change something, while the copy and the container are made.
fn killed(scratch: &Scratch, driver: &'static str) -> Outcome {
    let file = archive::small(scratch.path(), "small", 4, 50);
    let first = Store::new(scratch, "count", driver).with_env(NO_IDMAP, "yes");
    image(&first, &file);
    let line = [&["create-container", "-i", "box", "-n", "name"], &MAPS[..], &["image"]].concat();
    let points = integration::trace::points(&first.argv(&line), &scratch.join("log"))?;
    let step = if machine::full() { 1 } else { points.len().div_ceil(40) };
    for (number, point) in points.iter().enumerate().step_by(step) {
        let store = Store::new(scratch, &format!("at{number}"), driver).with_env(NO_IDMAP, "yes");
        image(&store, &file);
        let (was_killed, _) = integration::trace::killed_before(&store.argv(&line), point)?;
        let all: Value = serde_json::from_str(&store.ok(&["containers", "-j"])).expect("containers -j writes JSON");
        let is_there = !all.as_array().expect("a list").is_empty();
        assert!(was_killed || is_there, "it ran to its end at {point:?}, and there is no container");
        // The next writer takes away what is of no use.
        store.ok(&["create-layer", "-i", "writer"]);
        store.delete("writer");
        let noted = copies(&store);
        let wanted = 1 + noted.len() + usize::from(is_there);
        assert_eq!(store.ids().len(), wanted, "layers after a death at {point:?}: {:?}, copies {noted:?}", store.ids());
        assert!(noted.len() <= 1, "{noted:?}");
        if !is_there {
            store.ok(&line);
            assert_eq!(copies(&store).len(), 1, "after a death at {point:?}");
        }
        clean_up(&store);
    }
    Ok(())
}
