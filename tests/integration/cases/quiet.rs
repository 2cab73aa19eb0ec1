//! Reading changes nothing that others see.

use std::fs;
use std::io::Read as _;

use integration::case::{Case, case};
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, trace, tree};

pub(crate) const CASES: &[Case] = &[
    case("quiet::diff_mounts_nothing_visible::overlay", 60, |s| strace(s, "overlay")),
    case("quiet::diff_mounts_nothing_visible::vfs", 60, |s| strace(s, "vfs")),
    case("quiet::diff_mounts_nothing_visible::btrfs", 60, |s| strace(s, "btrfs")),
    case("quiet::reading_verbs_change_nothing::overlay", 60, |s| reading(s, "overlay")),
    case("quiet::reading_verbs_change_nothing::vfs", 60, |s| reading(s, "vfs")),
    case("quiet::reading_verbs_change_nothing::btrfs", 60, |s| reading(s, "btrfs")),
];

const MOUNTING: &str = "mount,umount2,?umount,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,pivot_root,chroot,\
                        unshare,setns,execve";

fn prepare(scratch: &Scratch, driver: &'static str) -> Store {
    let store = Store::new(scratch, "store", driver);
    let archive = archive::small(scratch.path(), "small", 60, 50_000);
    store.import(&id("base"), None, &archive);
    store.create(&id("child"), Some(&id("base")));
    let root = store.mount(&id("child"));
    for number in 0..40 {
        archive::put(&root, &format!("more/{number}"), vec![3_u8; 30_000]);
    }
    fs::remove_dir_all(root.join("dir1")).expect("delete a directory");
    store.unmount(&id("child"));
    store
}

/// All that others can see: the mount table, the counts, every record and every directory of a layer.
fn sight(store: &Store) -> Vec<String> {
    let mut all: Vec<String> = fs::read_to_string("/proc/self/mountinfo")
        .expect("read mountinfo")
        .lines()
        .filter(|line| !line.contains("/proc "))
        .map(str::to_owned)
        .collect();
    for file in [store.run_layers_dir().join("mountpoints.json"), store.layers_dir().join("layers.json")] {
        all.push(fs::read_to_string(&file).unwrap_or_default());
    }
    all.extend(tree::listing(&store.layers_dir()));
    let of_layers = |line: &String| !line.starts_with("tempdirs") && !line.starts_with("backingFsBlockDev");
    all.extend(tree::listing(&store.home()).into_iter().filter(of_layers));
    all
}

#[track_caller]
fn assert_unchanged(before: &[String], after: &[String], when: &str) {
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert!(new.is_empty() && gone.is_empty(), "what others see changed {when}:\nnow: {new:#?}\nwas: {gone:#?}");
}

fn strace(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = prepare(scratch, driver);
    for layer in ["base", "child"].map(id) {
        let before = sight(&store);
        let (output, lines) = trace::lines(&store.argv(&["diff", "-u", &layer]), MOUNTING, &scratch.join("trace"))?;
        assert!(output.status.success(), "diff: {}", String::from_utf8_lossy(&output.stderr));
        assert!(lines.iter().any(|line| line.contains("execve(")), "strace saw the command start");
        let attached = ["mount(", "umount2(", "umount(", "move_mount(", "pivot_root(", "chroot("];
        let made: Vec<&String> = lines
            .iter()
            .filter(|line| {
                line.split_whitespace().nth(1).is_some_and(|call| attached.iter().any(|name| call.starts_with(name)))
            })
            .collect();
        assert!(made.is_empty(), "diff changed a mount table: {made:#?}");
        assert_unchanged(&before, &sight(&store), "after the diff");

        let mut diff = store.start(&["diff", "-u", &layer]);
        diff.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 4096]).expect("the stream begins");
        assert_unchanged(&before, &sight(&store), "while a diff streams");
        diff.kill().expect("end the diff that was started");
        diff.wait().expect("wait for it");
        assert_unchanged(&before, &sight(&store), "after a diff was killed");
    }
    Ok(())
}

fn reading(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = prepare(scratch, driver);
    let (base, child) = (id("base"), id("child"));
    let before = sight(&store);
    for args in [
        vec!["layers"],
        vec!["layers", "-j"],
        vec!["layers", "-t"],
        vec!["layer", &child],
        vec!["exists", &base, &child],
        vec!["changes", &child],
        vec!["changes", &child, &base],
        vec!["diffsize", &child],
        vec!["diffsize", &base],
        vec!["mounted", &child],
        vec!["metadata", &child],
        vec!["get-names", &child],
        vec!["list-layer-data", &child],
        vec!["status"],
    ] {
        store.ok(&args);
        assert_unchanged(&before, &sight(&store), &format!("after {args:?}"));
    }
    Ok(())
}
