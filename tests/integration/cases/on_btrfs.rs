//! What only the btrfs driver can meet, through the command: the wrong filesystem, no permission, no more writing, somebody
//! else's subvolume, a limit.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use integration::case::{Case, case};
use integration::store::{Store, end, id, must};
use integration::{Outcome, Scratch, archive, invariants, machine};
use nix::mount::{MsFlags, mount};

const DRIVER: &str = "btrfs";

pub(crate) const CASES: &[Case] = &[
    case("on_btrfs::a_root_on_another_filesystem", 60, another_filesystem),
    case("on_btrfs::no_permission::btrfs", 60, no_permission),
    case("on_btrfs::a_filesystem_that_is_read_only_by_now::btrfs", 60, read_only),
    case("on_btrfs::a_subvolume_that_is_there_already::btrfs", 60, existing_subvolume),
    case("on_btrfs::a_write_beyond_the_quota::btrfs", 60, quota),
];

#[track_caller]
fn refused(store: &Store, args: &[&str], words: &[&str]) {
    let ended = store.run(args);
    assert!(!ended.output.status.success(), "not refused: {}", ended.describe());
    for word in words {
        assert!(ended.stderr().contains(word), "nothing of {word:?}: {}", ended.describe());
    }
}

/// The first number that stat has for the root of a subvolume.
const ROOT_OF_SUBVOLUME: u64 = 256;

fn another_filesystem(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    refused(&store, &["create-layer"], &["not btrfs"]);
    refused(&store, &["layers"], &["not btrfs"]);
    assert!(!store.home().exists(), "a refusal leaves nothing");
    let disk = scratch.small_disk("disk", 200 << 20, "btrfs")?;
    let mixed = Store::at(&disk.join("root"), &scratch.join("run"), DRIVER)
        .with(&["--image-store", scratch.join("images").to_str().expect("a printable path")]);
    refused(&mixed, &["create-layer"], &["not btrfs"]);
    assert!(!mixed.home().exists() && !scratch.join("images/btrfs").exists(), "a refusal leaves nothing");
    Ok(())
}

/// Without `CAP_SYS_ADMIN` the kernel sends nothing: both trees are walked. Without any permission the error says so.
fn no_permission(scratch: &Scratch) -> Outcome {
    machine::need("setpriv")?;
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 6, 900);
    let (base, child) = (id("base"), id("child"));
    store.import(&base, None, &archive);
    store.create(&child, Some(&base));
    archive::put(&store.mount(&child), "more/file", "written");
    store.unmount(&child);
    let less = |drop: &[&str], args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(drop).args(store.argv(args)).stdin(Stdio::null());
        end(command)
    };
    let no_admin = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    let changes = less(&no_admin, &["changes", "-j", &child]);
    assert!(changes.output.status.success(), "{}", changes.describe());
    let with = store.run(&["changes", "-j", &child]);
    assert_eq!(changes.output.stdout, with.output.stdout, "walking finds what the kernel tells");
    let diff = less(&no_admin, &["diff", "-u", &child]);
    assert!(diff.output.status.success() && diff.output.stdout == store.diff(&child), "{}", diff.describe());
    let fresh = id("fresh");
    for args in [vec!["create-layer", "-i", &fresh, &base], vec!["mount", &fresh], vec!["unmount", &fresh]] {
        let ended = less(&no_admin, &args);
        assert!(ended.output.status.success(), "{}", ended.describe());
    }
    store.delete(&fresh);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    for args in [vec!["create-layer"], vec!["delete-layer", &child], vec!["diff", "-u", &child]] {
        let ended = less(&nobody, &args);
        let said = ended.stderr();
        assert!(!ended.output.status.success(), "not refused: {}", ended.describe());
        assert!(said.to_lowercase().contains("permission"), "{}", ended.describe());
    }
    assert_eq!(store.ids().len(), 2, "nothing is lost");
    assert_eq!(store.diff(&base), fs::read(&archive).expect("read an archive"));
    invariants::assert_clean(&store, "after the refusals");
    Ok(())
}

/// The kernel makes a filesystem read-only when it finds it damaged: what is there can be read, and nothing gets lost.
fn read_only(scratch: &Scratch) -> Outcome {
    let disk = scratch.small_disk("disk", 400 << 20, "btrfs")?;
    let store = Store::at(&disk.join("root"), &scratch.join("run"), DRIVER);
    let archive = archive::small(scratch.path(), "small", 6, 900);
    let content = fs::read(&archive).expect("read an archive");
    let (base, child) = (id("base"), id("child"));
    store.import(&base, None, &archive);
    store.create(&child, Some(&base));
    let remount = |flags: MsFlags| {
        let done = mount(None::<&str>, &disk, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>);
        done.expect("remount a filesystem");
    };
    remount(MsFlags::MS_RDONLY);
    let file = archive.to_str().expect("a printable path");
    for args in [
        vec!["create-layer", &base],
        vec!["import-layer", "-f", file],
        vec!["delete-layer", &child],
        vec!["applydiff", "-f", file, &child],
    ] {
        let ended = store.run(&args);
        assert!(!ended.output.status.success(), "not refused: {}", ended.describe());
        assert!(ended.stderr().to_lowercase().contains("read-only"), "{}", ended.describe());
    }
    remount(MsFlags::empty());
    assert_eq!(store.ids().len(), 2, "nothing is lost");
    assert!(store.diff(&base) == content);
    assert!(store.changes(&child).is_empty());
    store.ok(&["applydiff", "-f", file, &child]);
    store.delete(&child);
    store.ok(&["gc"]);
    invariants::assert_clean(&store, "after it can be written to again");
    Ok(())
}

/// A subvolume that no record names stands where a new layer is to be: it is neither used nor overwritten.
fn existing_subvolume(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 6, 900);
    let (base, taken) = (id("base"), id("taken"));
    store.import(&base, None, &archive);
    let place = store.layer_dir(&taken);
    let mut make = Command::new(machine::need("btrfs")?);
    make.args(["subvolume", "create"]).arg(&place);
    must(make);
    fs::write(place.join("mine"), "x").expect("a file of somebody's");
    let file = archive.to_str().expect("a printable path");
    for args in [
        vec!["create-layer", "-i", &taken],
        vec!["create-layer", "-i", &taken, &base],
        vec!["import-layer", "-i", &taken, "-f", file],
    ] {
        refused(&store, &args, &["that ID is already in use"]);
        assert!(place.join("mine").exists(), "somebody's subvolume was replaced");
        assert_eq!(store.ids(), [base.as_str()], "a refusal made a record");
    }
    assert_eq!(fs::metadata(&place).expect("it is there").ino(), ROOT_OF_SUBVOLUME);
    store.ok(&["gc"]);
    assert!(!place.exists(), "gc takes what no record names");
    store.create(&taken, Some(&base));
    invariants::assert_clean(&store, "in the end");
    Ok(())
}

/// The container that has a limit can't write beyond it; its neighbours, its image and the store can.
fn quota(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 6, 900);
    let base = id("base");
    store.import(&base, None, &archive);
    let first = |text: String| text.split_whitespace().next().expect("an id").to_owned();
    let image = first(store.ok(&["create-image", &base]));
    let limited = store.with(&["--storage-opt", "btrfs.size=16M"]);
    limited.ok(&["create-container", "-n", "small", &image]);
    limited.ok(&["create-container", "-n", "small too", &image]);
    store.ok(&["create-container", "-n", "free", &image]);
    let [small, small_too, free] = ["small", "small too", "free"].map(|name| store.mount(name));
    let said = write(&small, 40).expect_err("a write beyond the limit went through");
    assert!(said.contains("quota exceeded"), "{said}");
    assert!(fs::write(small.join("one more"), vec![1; 1 << 20]).is_err(), "it stays at its limit");
    for place in [&small_too, &free] {
        write(place, 8).expect("a write within the limit, beside one that is at it");
    }
    write(&free, 60).expect("a container without a limit has none");
    write(scratch.path(), 60).expect("nor has the host");
    let more = archive::small(scratch.path(), "more", 40, 1 << 20);
    store.import(&id("more"), Some(&base), &more);
    fs::remove_file(small.join("written")).expect("what was written can be removed at the limit");
    must({
        let mut wait = Command::new(machine::need("btrfs")?);
        wait.args(["filesystem", "sync"]).arg(scratch.path());
        wait
    });
    write(&small, 4).expect("and there is room again");
    for name in ["small", "small too", "free"] {
        store.unmount(name);
        store.ok(&["delete-container", name]);
    }
    invariants::assert_clean(&store, "in the end");
    Ok(())
}

/// Writes so many MiB as a process of its own, and to the disk.
fn write(dir: &Path, mebibytes: u32) -> Result<(), String> {
    let mut command = Command::new("dd");
    command.args(["if=/dev/urandom", "bs=1M", "conv=fsync", &format!("count={mebibytes}")]);
    let ended = end({
        command.arg(format!("of={}", dir.join("written").display()));
        command
    });
    if ended.output.status.success() { Ok(()) } else { Err(ended.stderr()) }
}
