//! The zfs driver on a real zfs. What the other drivers show is asked of it too, in a guest that is some times slower: less
//! often, and with time to spare. On a machine without a pool for tests every case here is skipped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use integration::case::{Case, case};
use integration::rootfs::Form;
use integration::store::{Store, end, id};
use integration::{Outcome, Scratch, archive, invariants};

use crate::{bad_input, child, concurrent, meanwhile, roundtrip, stall};

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
    case("zfs::truncated_archive", 900, |s| bad_input::truncated(s, DRIVER)),
    case("zfs::escape_by_symlink", 900, |s| bad_input::by_symlink(s, DRIVER)),
    case("zfs::escape_by_whiteout", 900, |s| bad_input::by_whiteout(s, DRIVER)),
    case("zfs::duplicate_id_or_name", 900, |s| bad_input::duplicate_id(s, DRIVER)),
    case("zfs::parent_that_is_deleted", 900, |s| bad_input::parent_in_use(s, DRIVER)),
    case("zfs::killed_at_any_time", 900, killed),
    case("zfs::the_command_is_missing", 900, missing_command),
    case("zfs::a_diff_while_others_mount_and_unmount", 900, diff_meanwhile),
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
            // What the kill left running of the zfs command ends by itself; a lock must be free at once.
            assert_eq!(
                invariants::held_locks(&store),
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

/// A diff of a layer, again and again, while another process mounts, writes and unmounts it: both always work.
fn diff_meanwhile(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", DRIVER);
    let archive = archive::small(scratch.path(), "small", 12, 900);
    let (base, layer) = (id("base"), id("layer"));
    store.import(&base, None, &archive);
    store.create(&layer, Some(&base));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..5 {
                write(&store.mount(&layer), round);
                store.unmount(&layer);
            }
        });
        for _ in 0..5 {
            let changes = store.changes(&layer);
            assert!(changes.iter().all(|change| change.starts_with("A /round")), "{changes:?}");
            assert!(store.diff(&layer).len() >= 1024);
        }
        writer.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
    });
    assert_eq!(store.changes(&layer).len(), 5);
    invariants::assert_clean(&store, "after all is done");
    Ok(())
}

fn write(root: &Path, round: u32) {
    fs::write(root.join(format!("round{round}")), "written").expect("write in a mounted layer");
}
