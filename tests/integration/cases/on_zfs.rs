//! The zfs driver on a real zfs. What the other drivers show is asked of it too, in a guest that is some times slower: less
//! often, and with time to spare. On a machine without a pool for tests every case here is skipped.

use std::process::Command;
use std::time::Duration;

use integration::case::{Case, case};
use integration::rootfs::Form;
use integration::scratch::dataset_of;
use integration::store::{Store, end, id, must};
use integration::{Outcome, Scratch, archive, invariants};

use crate::{bad_archives, bad_input, child, concurrent, kill_at_random, meanwhile, roundtrip, stall};

const DRIVER: &str = "zfs";

pub(crate) const CASES: &[Case] = &[
    case("zfs::debian_zstd", 900, |s| roundtrip::debian(s, DRIVER, Form::Zstd)),
    case("zfs::one_of_everything_pax", 900, |s| roundtrip::everything(s, DRIVER, "pax")),
    case("zfs::sparse_members_come_back_byte_for_byte", 900, |s| roundtrip::sparse(s, DRIVER)),
    case("zfs::exact_changes_and_same_tree", 900, |s| child::child(s, DRIVER, DRIVER)),
    case("zfs::changes_between_two_layers", 900, |s| child::between(s, DRIVER)),
    case("zfs::both_at_once", 900, |s| concurrent::together(s, DRIVER, 18)),
    case("zfs::each_uses_the_others_layers", 900, |s| concurrent::crossed(s, DRIVER)),
    case("zfs::one_mounts_and_the_other_releases", 900, |s| concurrent::hand_over(s, DRIVER)),
    case("zfs::a_diff_whose_reader_stalls", 900, |s| stall::stalled_diff(s, DRIVER)),
    case("zfs::a_computed_diff_whose_reader_stalls", 900, |s| stall::stalled_computed_diff(s, DRIVER)),
    case("zfs::an_import_whose_pipe_stalls", 900, |s| stall::stalled_import(s, DRIVER)),
    case("zfs::a_diff_fails_when_its_layer_is_deleted", 900, |s| stall::deleted_under_a_diff(s, DRIVER)),
    case("zfs::a_parents_name_goes_to_another_layer", 900, |s| meanwhile::parent_renamed(s, DRIVER)),
    case("zfs::somebody_writes_through_a_mount", 900, |s| meanwhile::written(s, DRIVER)),
    case("zfs::truncated_archive", 900, |s| bad_archives::truncated(s, DRIVER)),
    case("zfs::escape_by_symlink", 900, |s| bad_archives::by_symlink(s, DRIVER)),
    case("zfs::escape_by_whiteout", 900, |s| bad_archives::by_whiteout(s, DRIVER)),
    case("zfs::duplicate_id_or_name", 900, |s| bad_input::duplicate_id(s, DRIVER)),
    case("zfs::parent_that_is_deleted", 900, |s| bad_input::parent_in_use(s, DRIVER)),
    case("zfs::killed_at_any_time", 900, killed),
    case("zfs::killed_while_mounting_and_diffing", 900, |s| kill_at_random::rounds(s, DRIVER, 24)),
    case("zfs::the_command_is_missing", 900, missing_command),
    case("zfs::a_dataset_of_that_name_is_there", 900, name_taken),
    case("zfs::without_permission", 900, unprivileged),
];

/// SIGKILL at growing delays, each operation some times: no lock stays held, the store works on, and what is left over is
/// reclaimed.
fn killed(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 40, 4000);
    let file = archive.to_str().expect("a printable path");
    let (base, child) = (id("base"), id("child"));
    store.import(&base, None, &archive);
    store.create(&child, Some(&base));
    let content = store.diff(&base);
    let deeds: [&[&str]; 4] = [
        &["import-layer", "-i", &id("new"), "-f", file, &base],
        &["create-layer", "-i", &id("empty"), &base],
        &["applydiff", "-f", file, &child],
        &["delete-layer", &id("new")],
    ];
    for round in 0..4_u64 {
        for deed in deeds {
            let mut running = store.start(deed);
            std::thread::sleep(Duration::from_millis(40 + 170 * round));
            let _ = running.kill();
            let _ = running.wait();
            assert_eq!(
                invariants::held_after_a_kill(&store),
                Vec::<std::path::PathBuf>::new(),
                "held after the kill of {deed:?}"
            );
            let ids = store.ids();
            assert!(ids.contains(&base) && ids.contains(&child), "a kill of {deed:?} lost a layer: {ids:?}");
            if round % 2 == 1 {
                assert!(store.diff(&base) == content, "a kill of {deed:?} changed another layer");
                drop(store.changes(&child));
            }
        }
    }
    for layer in store.ids().into_iter().filter(|layer| *layer != base) {
        store.mount(&layer);
        store.unmount(&layer);
        store.delete(&layer);
    }
    store.ok(&["gc"]);
    store.ok(&["gc"]);
    invariants::assert_clean(&store, "after kills and gc");
    Ok(())
}

fn missing_command(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let mut command = store.command();
    command.args(["layers"]).env("PATH", "/nonexistent");
    let ended = end(command);
    let words = ended.stderr();
    assert!(!ended.output.status.success(), "it worked without zfs");
    assert!(words.contains("zfs command is missing") && words.contains("zfsutils-linux"), "{words}");
    assert!(!store.home().exists(), "a refusal leaves nothing");
    Ok(())
}

/// A dataset of the layer's name that no record knows is somebody's: it stays as it is, and so does what was cloned of it.
fn name_taken(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 4, 900);
    let (base, new, place) = (id("base"), id("new"), scratch.make("place"));
    store.import(&base, None, &archive);
    let (before, content) = (store.ids(), store.diff(&base));
    let of_store = dataset_of(&store.root);
    let zfs = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]).env("d", format!("{of_store}/{new}")).env("p", &place).env("r", &of_store);
        must(shell)
    };
    zfs("zfs create -o mountpoint=legacy $d; mount -t zfs $d $p; echo theirs >$p/f; umount $p; \
        zfs snapshot $d@own; zfs clone -o mountpoint=legacy $d@own $r/elsewhere");
    let file = archive.to_str().expect("a printable path");
    for deed in [
        &["create-layer", "-i", &new][..],
        &["create-layer", "-i", &new, &base],
        &["import-layer", "-i", &new, "-f", file],
    ] {
        let refused = store.run(deed);
        let words = refused.stderr();
        assert!(!refused.output.status.success() && words.contains("already"), "{}", refused.describe());
        assert_eq!(store.ids(), before, "a refusal changes no records");
    }
    store.ok(&["gc"]);
    assert_eq!(zfs("for i in $d $r/elsewhere; do mount -t zfs $i $p; cat $p/f; umount $p; done"), "theirs\ntheirs\n");
    assert!(store.diff(&base) == content, "another layer is as it was");
    zfs("zfs destroy $r/elsewhere; zfs destroy -r $d");
    store.create(&new, Some(&base));
    invariants::assert_clean(&store, "once the name is free");
    Ok(())
}

/// Who may not use zfs is told so, and all stays as it was.
fn unprivileged(scratch: &Scratch) -> Outcome {
    let place = scratch.for_everybody()?;
    let store = Store::at(&place.join("root"), &place.join("run"), DRIVER);
    let base = id("base");
    store.import(&base, None, &archive::small(scratch.path(), "small", 4, 900));
    let content = store.diff(&base);
    let open_up = |paths: &str| must_shell(&format!("chmod -R a+rwX {paths}"));
    open_up(&format!("{} {}", store.root.display(), store.run.display()));
    for device in ["600", "666"] {
        must_shell(&format!("chmod {device} /dev/zfs"));
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(store.with(&["--unshare=false"]).argv(&["create-layer", "-i", &id("new"), &base]));
        let ended = end(command);
        let words = ended.stderr();
        assert!(!ended.output.status.success() && words.to_lowercase().contains("permission"), "{}", ended.describe());
        assert_eq!(store.ids(), std::slice::from_ref(&base), "a refusal changes no records");
    }
    assert!(store.diff(&base) == content, "the layer is as it was");
    store.ok(&["gc"]);
    invariants::assert_clean(&store, "after a refusal and gc");
    Ok(())
}

fn must_shell(script: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-euc", script]);
    must(shell)
}
