//! What must hold for a store between any two commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lock;
use crate::scratch::dataset_of;
use crate::store::{Store, must};

/// The lock files of a store that exist.
pub fn lock_files(store: &Store) -> Vec<PathBuf> {
    let driver = store.driver;
    let all = [
        store.root.join("storage.lock"),
        store.root.join("userns.lock"),
        store.layers_dir().join("layers.lock"),
        store.root.join(format!("{driver}-images/images.lock")),
        store.root.join(format!("{driver}-containers/containers.lock")),
        store.run_layers_dir().join("mountpoints.lock"),
    ];
    all.into_iter().filter(|path| path.exists()).collect()
}

/// The locks that somebody holds.
pub fn held_locks(store: &Store) -> Vec<PathBuf> {
    lock_files(store).into_iter().filter(|path| !lock::free(path)).collect()
}

/// What is locked after a kill. A copy of the process that was about to become the zfs command has the locks until it does, which
/// takes an emulated processor a moment; and the zfs command itself ends by itself.
pub fn held_after_a_kill(store: &Store) -> Vec<PathBuf> {
    for _ in 0..if store.driver == "zfs" { 50 } else { 0 } {
        if held_locks(store).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    held_locks(store)
}

/// The mount points in this namespace below a directory.
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(dir) && point != dir).collect()
}

/// The layers of a store that the kernel shows as mounted, by the directory that is their mount point.
pub fn mounted_layers(store: &Store) -> BTreeSet<String> {
    if store.driver == "zfs" {
        let name = |point: PathBuf| Some(point.file_name()?.to_str()?.to_owned());
        return mounts_below(&store.home().join("graph")).into_iter().filter_map(name).collect();
    }
    let home = store.home();
    let id = |point: PathBuf| {
        let mut parts = point.strip_prefix(&home).ok()?.components();
        let id = parts.next()?.as_os_str().to_str()?.to_owned();
        (parts.next()?.as_os_str() == "merged").then_some(id)
    };
    mounts_below(&home).into_iter().filter_map(id).collect()
}

/// Where counts and kernel disagree.
pub fn count_errors(store: &Store) -> Vec<String> {
    if !store.has_mounts() {
        return Vec::new(); // nothing is mounted for this driver, so that every count is true
    }
    let mounted = mounted_layers(store);
    let counted: BTreeSet<String> =
        store.counts().into_iter().filter(|(_, _, count)| *count > 0).map(|(id, _, _)| id).collect();
    let without_mount = counted.difference(&mounted).map(|id| format!("{id} is counted and not mounted"));
    let without_count = mounted.difference(&counted).map(|id| format!("{id} is mounted and not counted"));
    without_mount.chain(without_count).collect()
}

/// What lies in the store that belongs to no layer of `known`: staging, trash, temporary files, orphans, stray links.
pub fn leftovers(store: &Store, known: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let is_known = |name: &str| known.iter().any(|id| id == name);
    for (name, path) in names(&store.layers_dir()) {
        let of_layer = is_known(&name) || name.strip_suffix(".tar-split.gz").is_some_and(is_known);
        let fixed = ["layers.json", "volatile-layers.json", "layers.lock"].contains(&name.as_str());
        // Leases go with the work that took them; the directory stays.
        if name == "tmp" || name == "lamina-leases" {
            found.extend(names(&path).into_iter().map(|(_, path)| path));
        } else if !of_layer && !fixed && !is_permanent_side_file(&name) {
            found.push(path);
        }
    }
    let holders = match store.driver {
        "vfs" => store.home().join("dir"),
        "btrfs" => store.home().join("subvolumes"),
        "zfs" => store.home().join("graph"),
        _ => store.home(),
    };
    if store.driver == "zfs" {
        found.extend(datasets(store).into_iter().filter(|name| !is_known(name)).map(PathBuf::from));
    }
    for (name, path) in names(&holders) {
        if !is_known(&name)
            && !["l", "staging", "tempdirs", ".has-mount-program", "backingFsBlockDev"].contains(&name.as_str())
        {
            found.push(path);
        }
    }
    found.extend(names(&store.home().join("quotas")).into_iter().filter(|(id, _)| !is_known(id)).map(|(_, path)| path));
    for inner in ["staging", "tempdirs"] {
        found.extend(names(&store.home().join(inner)).into_iter().map(|(_, path)| path));
    }
    for (_, path) in names(&store.home().join("l")) {
        let target = fs::read_link(&path).expect("read a short link");
        let id = target.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        if !id.is_some_and(|id| is_known(&id)) {
            found.push(path);
        }
    }
    found
}

/// Files of Lamina's own that stay for good, named so that no layer can have their name: locks, and the reserve that lets
/// records be written on a full disk.
fn is_permanent_side_file(name: &str) -> bool {
    name == "lamina-reserve" || name.strip_suffix(".lock").is_some_and(|name| name.starts_with("lamina-"))
}

/// The datasets of layers by their ids, and the snapshots of ours that don't just wait for their clones.
fn datasets(store: &Store) -> Vec<String> {
    let root = dataset_of(&store.root);
    let mut list = std::process::Command::new("zfs");
    list.args(["list", "-H", "-r", "-t", "filesystem,snapshot", "-o", "name,defer_destroy", &root]);
    let below = format!("{root}/");
    let text = must(list);
    let lines = text.lines().filter_map(|line| line.strip_prefix(&below)?.split_once('\t'));
    let counts = |name: &str, deferred| !name.contains('@') || (name.contains("@lamina:") && deferred != "on");
    lines.filter(|(name, deferred)| counts(name, *deferred)).map(|(name, _)| name.to_owned()).collect()
}

fn names(dir: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("list a directory of a store"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    names.sort();
    names
}

/// Fails if anything is held, miscounted or left over.
#[track_caller]
pub fn assert_clean(store: &Store, when: &str) {
    let wrong = violations(store);
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
}

/// Everything that is held, miscounted or left over.
pub fn violations(store: &Store) -> Vec<String> {
    let known = store.ids();
    let held = held_locks(store).into_iter().map(|path| format!("held: {}", path.display()));
    let left = leftovers(store, &known).into_iter().map(|path| format!("left over: {}", path.display()));
    held.chain(count_errors(store)).chain(left).collect()
}
