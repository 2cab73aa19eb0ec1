//! Beside podman and skopeo.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Bench;
use crate::{Ended, is_root, need, run, skip};

const DRIVERS: [&str; 2] = ["vfs", "overlay"];

/// Whether the peers are here, and may mount.
fn have(test: &str, programs: &[&str]) -> bool {
    if !is_root() {
        skip(test, "it needs root");
        return false;
    }
    programs.iter().chain(&["unshare"]).all(|program| need(test, program).is_some())
}

/// podman on a store, in a mount namespace of its own: what it mounts ends with it.
fn podman(bench: &Bench, args: &[&str]) -> Ended {
    let mut command = Command::new("unshare");
    command.args(["-m", "podman", "--root"]).arg(bench.graph()).arg("--runroot").arg(bench.place().join("run"));
    run(command.args(["--storage-driver", bench.driver]).args(args))
}

fn must(bench: &Bench, args: &[&str]) -> String {
    let ended = podman(bench, args);
    assert_eq!(ended.code, Some(0), "podman {args:?}: {ended:?}");
    ended.out
}

fn without_times(mut records: Vec<Value>) -> Vec<Value> {
    records.iter_mut().filter_map(Value::as_object_mut).for_each(|record| drop(record.remove("created")));
    records
}

/// The data of an image, by file.
fn data(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let id = bench.records("images")[0]["id"].as_str().expect("an id").to_owned();
    let home = bench.graph().join(format!("{}-images", bench.driver)).join(id);
    let read = |path: &Path| std::fs::read(path).expect("read");
    let entries = std::fs::read_dir(home).expect("read directory").flatten();
    let mut data: Vec<_> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))).collect();
    data.sort();
    data
}

#[test]
fn an_image_is_loaded_as_podman_loads_it() {
    if !have("an_image_is_loaded_as_podman_loads_it", &["podman"]) {
        return;
    }
    for driver in DRIVERS {
        let (ours, theirs) = (Bench::new(driver), Bench::new(driver));
        let layout = ours.layout("x:1", &ours.three());
        let tar = layout.tar();
        let tar = tar.to_str().expect("UTF-8");
        must(&theirs, &["load", "-q", "-i", tar]);
        let docker = ours.place().join("docker.tar");
        let docker = docker.to_str().expect("UTF-8");
        must(&theirs, &["save", "-q", "--format", "docker-archive", "-o", docker, "x:1"]);
        ours.must(&["load", tar]);
        compare(&ours, &theirs);
        // Then the same image with the manifest that is made up for a docker archive.
        must(&theirs, &["load", "-q", "-i", docker]);
        ours.must(&["load", docker]);
        compare(&ours, &theirs);

        let (ours, theirs) = (Bench::new(driver), Bench::new(driver));
        must(&theirs, &["load", "-q", "-i", docker]);
        ours.must(&["load", docker]);
        compare(&ours, &theirs);
    }
}

fn compare(ours: &Bench, theirs: &Bench) {
    assert_eq!(ours.records("images"), theirs.records("images"));
    assert_eq!(without_times(ours.records("layers")), without_times(theirs.records("layers")));
    assert_eq!(data(ours), data(theirs));
}

#[test]
fn podman_uses_what_was_loaded_and_removes_it() {
    if !have("podman_uses_what_was_loaded_and_removes_it", &["podman"]) {
        return;
    }
    for driver in DRIVERS {
        let bench = Bench::new(driver);
        let layers = bench.three();
        bench.must(&["load", bench.layout("x:1", &layers[..2]).path()]);
        let larger = bench.layout("y:1", &layers).tar();
        must(&bench, &["load", "-q", "-i", larger.to_str().expect("UTF-8")]);
        assert_eq!(bench.records("layers").len(), 3, "podman shares the layers");
        must(&bench, &["image", "tree", "y:1"]);
        must(&bench, &["system", "df", "-v"]);
        must(&bench, &["rmi", "-a"]);
        assert!(bench.records("layers").is_empty() && bench.places().is_empty(), "{driver}");
    }
}

#[test]
fn podman_loads_what_was_saved() {
    if !have("podman_loads_what_was_saved", &["podman"]) {
        return;
    }
    for driver in DRIVERS {
        let (ours, theirs) = (Bench::new(driver), Bench::new(driver));
        ours.must(&["load", ours.layout("x:1", &ours.three()).path()]);
        for flags in [&[][..], &["--compress", "gzip"]] {
            let tar = ours.place().join("saved.tar");
            let tar = tar.to_str().expect("UTF-8");
            ours.must(&[&["save", "-o", tar], flags, &["x:1"]].concat());
            must(&theirs, &["load", "-q", "-i", tar]);
            let (mine, other) = (&ours.records("images")[0], &theirs.records("images")[0]);
            for field in ["id", "names", "layer"] {
                assert_eq!(mine[field], other[field], "{flags:?}");
            }
        }
    }
}

#[test]
fn skopeo_copies_a_loaded_image_out_unchanged() {
    if !have("skopeo_copies_a_loaded_image_out_unchanged", &["skopeo"]) {
        return;
    }
    for driver in DRIVERS {
        let bench = Bench::new(driver);
        let id = bench.must(&["load", bench.layout("x:1", &bench.three()).path()]);
        let (graph, run_root) = (bench.graph(), bench.place().join("run"));
        let from = format!("containers-storage:[{driver}@{}+{}]localhost/x:1", graph.display(), run_root.display());
        let to = bench.place().join("copy");
        let mut copy = Command::new("unshare");
        copy.args(["-m", "skopeo", "copy", "-q", &from]).arg(format!("oci:{}:x", to.display()));
        let copied = run(&mut copy);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        let other = Bench::new(driver);
        assert_eq!(other.must(&["load", to.to_str().expect("UTF-8")]), id, "the config is the same");
        let digests = |bench: &Bench| -> Vec<Value> {
            bench.records("layers").iter().map(|layer| layer["diff-digest"].clone()).collect()
        };
        assert_eq!(digests(&other), digests(&bench));
    }
}
