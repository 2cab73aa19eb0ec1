//! Bad input to the flags and verbs of id maps, labels and copies.

use integration::case::{Case, case};
use integration::store::Store;
use integration::{Outcome, Scratch, archive};

use crate::bad_input::{refused, sight};
use crate::id_maps::image;

pub(crate) const CASES: &[Case] = &[
    case("id_maps_bad::maps::overlay", 60, |s| maps(s, "overlay")),
    case("id_maps_bad::maps::vfs", 60, |s| maps(s, "vfs")),
    case("id_maps_bad::maps_too_small_for_the_files::vfs", 60, too_small),
    case("id_maps_bad::owners_above_and_copies::overlay", 60, |s| verbs(s, "overlay")),
    case("id_maps_bad::owners_above_and_copies::vfs", 60, |s| verbs(s, "vfs")),
];

fn maps(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    let file = archive::small(scratch.path(), "small", 3, 50);
    image(&store, &file);
    let before = sight(&store);
    let file = file.to_str().expect("a printable path");
    for verb in [&["create-layer"][..], &["import-layer", "-f", file], &["create-container"]] {
        for (flags, words) in [
            (&["--uidmap", "x"][..], "no range"),
            (&["--uidmap", "0:1"], "no range"),
            (&["--uidmap", "0:1:-1"], "no range"),
            (&["--uidmap", ","], "no range"),
            (&["--gidmap", "0:1:0"], "empty range"),
            (&["--gidmap", "0:4294967290:10"], "beyond the last id"),
            (&["--uidmap", "0:1:5,4:9:1"], "overlap"),
            (&["--uidmap", "0:1:5", "--uidmap", "9:3:1"], "overlap"),
            (&["--subuidmap", "nobody-of-this-name"], "nobody-of-this-name"),
            (&["--subgidmap", "nobody-of-this-name"], "nobody-of-this-name"),
        ] {
            refused(
                &store,
                &before,
                &[verb, flags, &["image"][..usize::from(verb[0] == "create-container")]].concat(),
                &[words, "invalid mappings specified"],
            );
        }
        // Without the container's root nothing can be made.
        let line =
            [verb, &["--uidmap", "5:100000:2"], &["image"][..usize::from(verb[0] == "create-container")]].concat();
        if driver == "vfs" {
            refused(&store, &before, &line, &["invalid mappings specified"]);
        }
    }
    let container = |flags: &[&'static str]| [&["create-container"], flags, &["image"]].concat();
    for (line, words) in [
        (container(&["--userns-auto=0"]), &["size"][..]),
        (container(&["--userns-auto=many"]), &["size"]),
        (container(&["--userns-auto=99999999999"]), &["size"]),
        (container(&["--userns-auto", "--hostuidmap"]), &["contradict"]),
        (container(&["--userns-auto", "--uidmap", "0:0:0"]), &["empty range"]),
        (container(&["--userns-auto=100"]), &["not enough unused IDs in user namespace"]),
        (container(&["--mount-label", "x"]), &["both"]),
        (container(&["--process-label", "x"]), &["both"]),
    ] {
        refused(&store, &before, &line, words);
    }
    let many: Vec<String> = (0..400).map(|number| format!("{number}:{}:1", 100_000 + 2 * number)).collect();
    let many = many.join(",");
    if driver == "overlay" {
        store.ok(&["create-container", "-i", "many", "--uidmap", &many, "image"]);
        let ended = store.run(&["mount", "many"]);
        assert!(ended.stderr().contains("the kernel takes 340"), "{}", ended.describe());
    }
    Ok(())
}

fn too_small(scratch: &Scratch) -> Outcome {
    let store = Store::new(scratch, "store", "vfs");
    let made = scratch.make("made");
    archive::put(&made, "dir/file", "x");
    std::os::unix::fs::chown(made.join("dir/file"), Some(700), Some(3)).expect("give a file away");
    let file = scratch.join("made.tar");
    archive::pack(&made, &file, "pax");
    image(&store, &file);
    let before = sight(&store);
    let map = ["--uidmap", "0:100000:700"];
    let file = file.to_str().expect("a printable path");
    refused(
        &store,
        &before,
        &[&["create-container"], &map[..], &["image"]].concat(),
        &["file", "700:3", "outside the maps"],
    );
    refused(
        &store,
        &before,
        &[&["create-layer"], &map[..], &["base"]].concat(),
        &["file", "700:3", "outside the maps"],
    );
    refused(
        &store,
        &before,
        &[&["import-layer", "-f", file], &map[..]].concat(),
        &["file", "700:3", "outside the maps"],
    );
    Ok(())
}

fn verbs(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    image(&store, &archive::small(scratch.path(), "small", 3, 50));
    let before = sight(&store);
    for (line, words) in [
        (&["layer-parent-owners", "nothing"][..], &["layer not known", "nothing"][..]),
        (&["layer-parent-owners", "image"], &["layer not known"]),
        (&["container-parent-owners", "base"], &["container not known"]),
        (&["copy", "nothing:/a", "/tmp"], &["nothing"]),
        (&["copy", "/nothing/at/all", "nothing:/"], &["nothing"]),
        (&["copy", "image:/a", "base:/"], &["is an image"]),
        (&["copy", "--chown", "x", "base:/a", "base:/b"], &["--chown"]),
        (&["copy", "--chown", "1:", "base:/a", "base:/b"], &["--chown"]),
        (&["copy", "--chown", "4294967295", "base:/a", "base:/b"], &["--chown"]),
        (&["create-storage-layer"], &["not supported"]),
        (&["applydiff-using-staging-dir", "a", "b"], &["not supported"]),
    ] {
        refused(&store, &before, line, words);
    }
    for line in [
        &["copy", "/nothing/at/all", "base:/"][..],
        &["copy", "base:/nothing", "base:/x"],
        &["copy", "base:/", "base:/new/x"],
    ] {
        let ended = store.run(line);
        assert!(!ended.output.status.success() && ended.stderr().lines().count() == 1, "{}", ended.describe());
        assert_eq!(store.counts(), Vec::new(), "a mount was left by {line:?}");
    }
    for line in [&["layer-parent-owners"][..], &["copy", "base:/a"]] {
        assert_eq!(store.run(line).output.status.code(), Some(1), "{line:?}");
    }
    Ok(())
}
