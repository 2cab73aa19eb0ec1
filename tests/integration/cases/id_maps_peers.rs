//! Id maps as the reference and podman have them: records, owners on disk, containers of the one mounted by the other.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Store, must};
use integration::{Outcome, Scratch, archive, invariants, machine, trace, tree};
use serde_json::Value;

use crate::id_maps::{MAPS, clean_up, container, copies, image};

pub(crate) const CASES: &[Case] = &[
    case("id_maps_peers::records_and_owners_are_the_references::overlay", 120, |s| records(s, "overlay")),
    case("id_maps_peers::records_and_owners_are_the_references::vfs", 120, |s| records(s, "vfs")),
    case("id_maps_peers::each_mounts_the_others_containers::overlay", 120, |s| each_others(s, "overlay")),
    case("id_maps_peers::each_mounts_the_others_containers::vfs", 120, |s| each_others(s, "vfs")),
    case("id_maps_peers::podmans_containers::overlay", 180, |s| podman(s, "overlay")),
    case("id_maps_peers::podmans_containers::vfs", 180, |s| podman(s, "vfs")),
    case("id_maps_peers::owners_above_a_mount::overlay", 60, |s| parents(s, "overlay")),
    case("id_maps_peers::owners_above_a_mount::vfs", 60, |s| parents(s, "vfs")),
    case("id_maps_peers::labels_are_recorded_and_passed_on::overlay", 60, labels),
];

/// A small tree with owners, packed.
fn small(scratch: &Scratch) -> std::path::PathBuf {
    let made = scratch.make("made");
    for (name, owner) in [("etc/passwd", 0), ("file", 5), ("dir/deep/file", 77)] {
        archive::put(&made, name, name);
        chown(made.join(name), Some(owner), Some(owner + 1)).expect("give a file away");
    }
    let file = scratch.join("made.tar");
    archive::pack(&made, &file, "pax");
    file
}

/// Every layer: its maps, and whose its files are. The root directory of a layer is left out: the reference forgets it when
/// it changes owners.
fn layers_of(store: &Store) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for record in store.layers() {
        let id = record["id"].as_str().expect("an id");
        let tree = if store.driver == "vfs" { store.layer_dir(id) } else { store.mount(id) };
        let mut owners: Vec<String> = tree::read(&tree)
            .iter()
            .filter(|(path, _)| !path.as_os_str().is_empty())
            .map(|(path, entry)| format!("{} {}:{}", path.display(), entry.uid, entry.gid))
            .collect();
        owners.sort();
        if store.driver != "vfs" {
            store.unmount(id);
        }
        let name = if id.len() < 20 { id } else { "made" };
        let (uids, gids) = (&record["uidmap"], &record["gidmap"]);
        let parent = record["parent"].as_str().filter(|parent| parent.len() < 20).unwrap_or_default();
        let is_base = record["parent"].as_str().is_none_or(str::is_empty);
        lines.push(format!("{name} on {parent:?} (base: {is_base}) {uids} {gids} {owners:?}"));
    }
    lines.sort();
    lines
}

fn records(scratch: &Scratch, driver: &'static str) -> Outcome {
    let file = small(scratch);
    let path = file.to_str().expect("a printable path");
    let ours = Store::new(scratch, "ours", driver);
    let theirs = Store::new(scratch, "theirs", driver).peer()?;
    let both = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"];
    for store in [&ours, &theirs] {
        image(store, &file);
        let run = |line: &[&[&str]]| store.ok(&line.concat());
        run(&[&["import-layer", "-f", path, "-i", "users", "--uidmap", "0:100000:65536"]]);
        run(&[&["import-layer", "-f", path, "-i", "both"], &both, &["base"]]);
        run(&[&["create-layer", "-i", "on-base"], &both, &["base"]]);
        run(&[&["create-layer", "-i", "other", "--uidmap", "0:300000:10000", "both"]]);
        run(&[&["create-layer", "-i", "hosts-users", "--hostuidmap", "both"]]);
        run(&[&["create-layer", "-i", "hosts", "--hostuidmap", "--hostgidmap", "both"]]);
        run(&[&["create-layer", "-i", "same", "both"]]);
        run(&[&["create-container", "-i", "plain", "image"]]);
        run(&[&["create-container", "-i", "mapped"], &both, &["image"]]);
        run(&[&["create-container", "-i", "mapped-too"], &both, &["image"]]);
        run(&[&["create-container", "-i", "of-nothing"], &both, &[""]]);
    }
    assert_eq!(layers_of(&ours), layers_of(&theirs), "layers: records and owners on disk");
    for name in ["plain", "mapped", "mapped-too", "of-nothing"] {
        let [ours, theirs] = [&ours, &theirs].map(|store| {
            let record = container(store, name);
            ["id", "image", "uidmap", "gidmap", "flags"]
                .map(|key| if key == "image" { Value::Null } else { record[key].clone() })
        });
        assert_eq!(ours, theirs, "the record of {name}");
    }
    assert_eq!(copies(&ours).len(), copies(&theirs).len(), "copies noted in the image");
    Ok(())
}

/// Owners of the paths below a mount, but for the root.
fn owners(root: &Path) -> Vec<String> {
    let tree = tree::read(root);
    let below = tree.iter().filter(|(path, _)| !path.as_os_str().is_empty());
    below.map(|(path, entry)| format!("{} {}:{}", path.display(), entry.uid, entry.gid)).collect()
}

fn each_others(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let theirs = ours.peer()?;
    image(&ours, &small(scratch));
    ours.ok(&[&["create-container", "-i", "ours"], &MAPS[..], &["image"]].concat());
    theirs.ok(&[&["create-container", "-i", "theirs"], &MAPS[..], &["image"]].concat());
    assert!(copies(&ours).len() <= 1, "the one's copy is found by the other: {:?}", copies(&ours));
    let mut seen = Vec::new();
    for (store, name) in [(&ours, "theirs"), (&theirs, "ours"), (&ours, "ours"), (&theirs, "theirs")] {
        let root = store.mount(name);
        seen.push(owners(&root));
        store.unmount(container(store, name)["layer"].as_str().expect("a layer"));
    }
    let wanted = ["dir 100000:300000", "dir/deep 100000:300000", "dir/deep/file 100077:300078", "etc 100000:300000"];
    for lines in &seen {
        assert!(wanted.iter().all(|line| lines.contains(&(*line).to_owned())), "{lines:?}");
        assert_eq!(lines, &seen[0]);
    }
    // The reference deletes the image with our copy and its own containers.
    for name in ["ours", "theirs"] {
        theirs.ok(&["delete-container", name]);
    }
    theirs.ok(&["delete-image", "image"]);
    assert_eq!(ours.ids(), Vec::<String>::new(), "what the reference deleted is gone");
    invariants::assert_clean(&ours, "after the reference deleted all");
    Ok(())
}

fn podman(scratch: &Scratch, driver: &'static str) -> Outcome {
    let program = machine::need("podman")?;
    // podman takes no run root whose path is longer than 50 characters.
    let place = scratch.for_everybody()?;
    let store = Store::at(&place.join("root"), &place.join("run"), driver);
    let podman = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--root").arg(&store.root).arg("--runroot").arg(&store.run);
        command.args(["--storage-driver", driver, "--cgroup-manager", "cgroupfs"]).args(args);
        must(command)
    };
    let file = small(scratch);
    podman(&["import", file.to_str().expect("a printable path"), "localhost/made:1"]);
    let maps = ["--uidmap", "0:100000:65536", "--gidmap", "0:300000:65536"];
    podman(&[&["create", "--name", "box"], &maps[..], &["localhost/made:1", "/bin/none"]].concat());
    let by_podman = podman(&["mount", "box"]);
    let seen = owners(Path::new(by_podman.trim()));
    podman(&["unmount", "box"]);
    let by_us = store.mount("box");
    assert_eq!(owners(&by_us), seen, "podman's container as Lamina mounts it");
    assert!(seen.contains(&"dir/deep/file 100077:300078".to_owned()), "{seen:?}");
    fs::write(by_us.join("new"), "x").expect("write in podman's container");
    chown(by_us.join("new"), Some(100_003), Some(300_004)).expect("give a file away");
    let layer = container_called(&store, "box")["layer"].as_str().expect("a layer").to_owned();
    store.unmount(&layer);
    let diff = scratch.join("diff.tar");
    store.diff_to(&layer, &diff);
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "-tvf"]).arg(&diff);
    let listed = must(tar);
    assert!(listed.contains(" 3/4 "), "the diff has the container's ids: {listed}");
    assert!(podman(&["diff", "box"]).contains("A /new"), "podman sees what was written");

    store.ok(&[&["create-container", "-n", "ours"], &maps[..], &["localhost/made:1"]].concat());
    store.mount("ours");
    store.unmount(container_called(&store, "ours")["layer"].as_str().expect("a layer"));
    podman(&["ps", "-a", "--size", "--external"]);
    podman(&["system", "df", "-v"]);
    store.ok(&["delete-container", "ours"]);
    podman(&["rm", "box"]);
    podman(&["rmi", "localhost/made:1"]);
    assert_eq!(store.ids(), Vec::<String>::new(), "what podman deleted is gone, copies too");
    invariants::assert_clean(&store, "after podman is done");
    Ok(())
}

fn container_called(store: &Store, name: &str) -> Value {
    let all: Value = serde_json::from_str(&store.ok(&["containers", "-j"])).expect("containers -j writes JSON");
    let found = all.as_array().into_iter().flatten().find(|record| record["names"][0] == name);
    found.unwrap_or_else(|| panic!("no container is called {name}: {all}")).clone()
}

fn parents(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let theirs = ours.peer()?;
    ours.ok(&[&["create-layer", "-i", "mapped"], &MAPS[..]].concat());
    ours.ok(&["create-layer", "-i", "plain"]);
    ours.ok(&[&["create-container", "-i", "box"], &MAPS[..], &[""]].concat());
    ours.ok(&["create-container", "-i", "plain-box", ""]);
    if driver == "vfs" {
        let refused = ours.run(&["layer-parent-owners", "mapped"]);
        assert!(refused.stderr().contains("layer is not mounted"), "{}", refused.describe());
    }
    for name in ["mapped", "plain", "box", "plain-box"] {
        ours.mount(name);
    }
    for line in [
        &["layer-parent-owners", "mapped", "plain"][..],
        &["layer-parent-owners", "-j", "mapped", "plain"],
        &["container-parent-owners", "plain-box"],
        &["container-parent-owners", "-j", "plain-box"],
    ] {
        assert_eq!(ours.ok(line), theirs.ok(line), "{line:?}");
    }
    // With id-mapped mounts the reference looks at the layer, which has no maps.
    let text = ours.ok(&["container-parent-owners", "box"]);
    assert_eq!(text, "ID: box\nUIDs: [0]\nGIDs: [0]\n");
    if driver == "vfs" {
        assert_eq!(text, theirs.ok(&["container-parent-owners", "box"]));
    }
    let refused = ours.run(&["container-parent-owners", "nobody"]);
    assert!(!refused.output.status.success() && refused.stderr().contains("nobody"), "{}", refused.describe());
    Ok(())
}

/// This kernel may not know labels: what is asked of it is looked at, whether or not it agrees.
fn labels(scratch: &Scratch) -> Outcome {
    const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";
    const PROCESS: &str = "system_u:system_r:container_t:s0:c1,c2";
    let store = Store::new(scratch, "store", "overlay");
    image(&store, &small(scratch));
    store.ok(&["create-container", "-i", "box", "--process-label", PROCESS, "--mount-label", LABEL, "image"]);
    let record = container(&store, "box");
    assert_eq!((&record["flags"]["ProcessLabel"], &record["flags"]["MountLabel"]), (&PROCESS.into(), &LABEL.into()));
    let layer = record["layer"].as_str().expect("a layer").to_owned();
    assert_eq!(store.record(&layer)["mountlabel"], LABEL);
    store.ok(&["create-layer", "-i", "layer", "-l", LABEL]);
    assert_eq!(store.record("layer")["mountlabel"], LABEL);
    store.ok(&["create-layer", "-i", "plain"]);
    let peer = store.peer()?;
    assert!(peer.ok(&["layers", "-j"]).contains(LABEL), "the reference reads the label");
    assert_eq!(container(&peer, "box")["flags"], record["flags"]);

    let other = "system_u:object_r:other_t:s0";
    for (line, label) in [
        (&["mount", "box"][..], LABEL),
        (&["mount", "layer"], LABEL),
        (&["mount", "-l", other, "layer"], other),
        (&["mount", "-l", other, "plain"], other),
    ] {
        let (output, lines) = trace::lines(&store.argv(line), "?fsconfig,?mount", &scratch.join("log"))?;
        let by_fsconfig = format!("\"context\", \"{label}\"");
        let by_mount = format!("context=\\\"{label}\\\"");
        let asked = lines.iter().any(|line| line.contains(&by_fsconfig) || line.contains(&by_mount));
        assert!(asked, "{line:?} asked the kernel for no label: {lines:#?}");
        if output.status.success() {
            store.ok(&["unmount", line[line.len() - 1]]);
        }
    }
    let (_, lines) = trace::lines(&store.argv(&["mount", "plain"]), "?fsconfig,?mount", &scratch.join("log"))?;
    assert!(!lines.iter().any(|line| line.contains("context")), "a label where none is recorded: {lines:#?}");
    store.ok(&["unmount", "plain"]);

    for one in [["--process-label", PROCESS], ["--mount-label", LABEL]] {
        let refused = store.run(&[&["create-container"], &one[..], &["image"]].concat());
        assert!(!refused.output.status.success() && refused.stderr().contains("both"), "{}", refused.describe());
    }
    store.delete("layer");
    store.delete("plain");
    clean_up(&store);
    Ok(())
}
