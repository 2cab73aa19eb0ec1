//! `load` and `save`: images as files, in a store, and back.

mod maker;
mod peers;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Ended, Scratch, lamina, plain, run};
use maker::{Blob, Layout, digest};

/// A store of one driver.
struct Bench {
    scratch: Scratch,
    driver: &'static str,
}

impl Bench {
    fn new(driver: &'static str) -> Self {
        Bench { scratch: Scratch::new(), driver }
    }

    fn place(&self) -> &Path {
        self.scratch.path()
    }

    fn graph(&self) -> std::path::PathBuf {
        self.place().join("graph")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = plain(lamina());
        command.arg("-g").arg(self.graph()).arg("-R").arg(self.place().join("run"));
        command.args(["-s", self.driver]).args(args);
        command
    }

    fn lamina(&self, args: &[&str]) -> Ended {
        run(&mut self.command(args))
    }

    fn must(&self, args: &[&str]) -> String {
        let ended = self.lamina(args);
        assert_eq!(ended.code, Some(0), "lamina {args:?} with {}: {ended:?}", self.driver);
        ended.out
    }

    /// The records of a kind.
    fn records(&self, kind: &str) -> Vec<Value> {
        let path = self.graph().join(format!("{}-{kind}", self.driver)).join(format!("{kind}.json"));
        let Ok(text) = fs::read(path) else { return Vec::new() };
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The places of layers with their inodes.
    fn places(&self) -> BTreeMap<String, u64> {
        let home = self.graph().join(self.driver);
        let home = if self.driver == "vfs" { home.join("dir") } else { home };
        let mut places = BTreeMap::new();
        for entry in fs::read_dir(home).into_iter().flatten() {
            let entry = entry.expect("entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.len() == 64 {
                places.insert(name, entry.metadata().expect("metadata").ino());
            }
        }
        places
    }

    /// All that a failed load must leave alone.
    fn state(&self) -> (Vec<Value>, Vec<Value>, BTreeMap<String, u64>) {
        (self.records("layers"), self.records("images"), self.places())
    }

    fn blob(&self, file: &str, content: &str) -> Blob {
        Blob::plain(self.place(), file, content.as_bytes())
    }

    /// Three layers, of which the middle one is compressed.
    fn three(&self) -> Vec<Blob> {
        vec![
            self.blob("bin/tool", &"tool\n".repeat(9000)),
            self.blob("etc/conf", "a").gzip(self.place()),
            self.blob("etc/other", "b"),
        ]
    }

    fn layout(&self, name: &str, layers: &[Blob]) -> Layout {
        Layout::make(&self.place().join(format!("layout-{}", name.replace([':', '/'], "-"))), name, layers)
    }
}

/// The drivers that tests without peers run with here.
fn drivers() -> Vec<&'static str> {
    if crate::is_root() { vec!["vfs", "overlay"] } else { vec!["vfs"] }
}

fn reused(json: &str) -> Vec<bool> {
    let value: Value = serde_json::from_str(json).expect("JSON");
    let layers = value[0]["layers"].as_array().expect("layers");
    layers.iter().map(|layer| layer["reused"].as_bool().expect("a truth")).collect()
}

#[test]
fn a_second_load_extracts_nothing() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let layout = bench.layout("x:1", &bench.three());
        assert_eq!(reused(&bench.must(&["load", "-j", "-i", layout.path()])), [false; 3]);
        let before = bench.state();
        assert_eq!(before.0.len(), 3);
        assert_eq!(reused(&bench.must(&["load", "-j", layout.tar().to_str().expect("UTF-8")])), [true; 3]);
        assert_eq!(bench.state(), before, "{driver}: layers, images and directories are the same ones");
    }
}

#[test]
fn layers_that_are_there_are_not_extracted_again() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let three = bench.three();
        bench.must(&["load", bench.layout("x:1", &three[..2]).path()]);
        let before = bench.places();
        let loaded = bench.must(&["load", "-j", bench.layout("y:1", &three).path()]);
        assert_eq!(reused(&loaded), [true, true, false], "{driver}");
        assert!(before.iter().all(|(id, inode)| bench.places()[id] == *inode), "{driver}: the same directories");
        assert_eq!(bench.records("images").len(), 2);
    }
}

#[test]
fn a_layer_of_another_id_on_the_same_parent_serves_too() {
    let bench = Bench::new("vfs");
    let base = bench.blob("f", "content");
    let tar = bench.place().join("base.tar");
    fs::write(&tar, &base.bytes).expect("write");
    bench.must(&["import-layer", "-i", "mine", "-f", tar.to_str().expect("UTF-8")]);
    let loaded = bench.must(&["load", "-j", bench.layout("x:1", &[base]).path()]);
    assert_eq!(reused(&loaded), [true]);
    assert_eq!(bench.records("images")[0]["layer"], "mine");
}

#[test]
fn names_are_completed_added_and_taken() {
    let bench = Bench::new("vfs");
    let (one, two) = (bench.layout("x:1", &[bench.blob("a", "1")]), bench.layout("y:1", &[bench.blob("a", "2")]));
    let id = bench.must(&["load", one.path()]);
    assert_eq!(id.trim(), bench.records("images")[0]["id"], "the id alone is printed");
    bench.must(&["load", "-n", "x:1", "-n", "quay.io/z", two.path()]);
    let images = bench.records("images");
    assert!(images[0].get("names").is_none(), "the name was taken: {images:?}");
    let names = ["localhost/y:1", "localhost/x:1", "quay.io/z:latest"];
    assert_eq!(images[1]["names"], serde_json::json!(names));
    bench.must(&["load", one.path()]);
    assert_eq!(bench.records("images")[0]["names"][0], "localhost/x:1", "and back");
    for wrong in [&["load", "-n", "NO GOOD", one.path()][..], &["load", "-i", one.path(), two.path()]] {
        assert_ne!(bench.lamina(wrong).code, Some(0), "{wrong:?}");
    }
}

#[test]
fn a_load_that_fails_leaves_nothing() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let three = bench.three();
        bench.must(&["load", bench.layout("there:1", &three[..1]).path()]);
        let before = bench.state();
        let top = |name: &str| bench.place().join(name);

        let wrong = |config: &mut Value| config["rootfs"]["diff_ids"][2] = digest(b"else").into();
        let lying = Layout::make_with(&top("lying"), "lying:1", &three, wrong);
        let ended = bench.lamina(&["load", lying.path()]);
        assert!(ended.code != Some(0) && ended.err.contains("without compression has the digest"), "{ended:?}");
        assert_eq!(bench.state(), before, "{driver}: a wrong diff id");

        let broken = Layout::make(&top("broken"), "broken:1", &three);
        let blob = broken.blob(&digest(&three[2].bytes));
        let mut bytes = three[2].bytes.clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&blob, &bytes).expect("write");
        let ended = bench.lamina(&["load", broken.path()]);
        assert!(ended.code != Some(0) && ended.err.contains("has the digest"), "{ended:?}");
        assert_eq!(bench.state(), before, "{driver}: altered data");

        fs::write(&blob, &three[2].bytes[..at]).expect("write");
        assert_ne!(bench.lamina(&["load", broken.path()]).code, Some(0));
        assert_eq!(bench.state(), before, "{driver}: a short blob");

        let dated = |config: &mut Value| config["created"] = "yesterday".into();
        let dated = Layout::make_with(&top("dated"), "dated:1", &three, dated);
        assert_ne!(bench.lamina(&["load", dated.path()]).code, Some(0));
        assert_eq!(bench.state(), before, "{driver}: a time that would make the records unreadable");
    }
}

/// Kills loads at several moments: each leaves the whole image or, after the next writer, nothing.
#[test]
fn a_killed_load_leaves_nothing_or_all() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let layers: Vec<Blob> = (0..4).map(|n| bench.blob(&format!("f{n}"), &format!("{n}").repeat(8 << 20))).collect();
        let layout = bench.layout("x:1", &layers);
        bench.must(&["layers"]);
        for milliseconds in [20, 60, 100, 140, 180, 240, 300] {
            let mut child = bench.command(&["load", layout.path()]).stdout(Stdio::null()).spawn().expect("start");
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
            child.kill().expect("kill");
            child.wait().expect("wait");
            bench.must(&["create-layer", "-i", "next"]);
            bench.must(&["delete-layer", "next"]);
            let (layers, images, places) = bench.state();
            let expected = if images.is_empty() { 0 } else { 4 };
            assert_eq!((layers.len(), places.len()), (expected, expected), "{driver} after {milliseconds} ms");
            bench.must(&["wipe"]);
        }
    }
}

#[test]
fn what_was_saved_is_the_same_image() {
    for driver in drivers() {
        let bench = Bench::new(driver);
        let plain = [bench.blob("a", "1"), bench.blob("b", "2")];
        let layout = bench.layout("x:1", &plain);
        bench.must(&["load", "-n", "other:2", layout.path()]);
        let out = bench.place().join("out");
        let out = out.to_str().expect("UTF-8");
        bench.must(&["save", "--format", "oci-dir", "-o", out, "x:1"]);
        let index = |top: &str| -> Value {
            serde_json::from_slice(&fs::read(Path::new(top).join("index.json")).expect("read")).expect("JSON")
        };
        let (theirs, ours) = (index(layout.path()), index(out));
        assert_eq!(theirs["manifests"][0]["digest"], ours["manifests"][0]["digest"], "the manifest's bytes are kept");
        assert_eq!(ours["manifests"].as_array().map(Vec::len), Some(1), "called by a name, it has that name");

        let id = bench.records("images")[0]["id"].as_str().expect("an id").to_owned();
        let layers = bench.records("layers");
        let tar = bench.place().join("out.tar");
        let tar = tar.to_str().expect("UTF-8");
        for flags in [&["--compress", "gzip"][..], &["--compress", "zstd"], &[]] {
            bench.must(&[&["save", "-o", tar], flags, &[&id]].concat());
            let other = Bench::new(driver);
            assert_eq!(other.must(&["load", tar]).trim(), id, "{flags:?}");
            let ids = |layers: &[Value]| layers.iter().map(|layer| layer["id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&other.records("layers")), ids(&layers), "{flags:?}");
            let names = &other.records("images")[0]["names"];
            assert_eq!(names.as_array().map(Vec::len), Some(2), "called by its id, it has all names: {names}");
        }
    }
}

#[test]
fn images_go_through_pipes() {
    let bench = Bench::new("vfs");
    let layout = bench.layout("x:1", &bench.three());
    let mut gzip = Command::new("gzip").arg("-c").arg(layout.tar()).stdout(Stdio::piped()).spawn().expect("start gzip");
    let output = bench.command(&["load"]).stdin(gzip.stdout.take().expect("a pipe")).output().expect("run");
    let loaded = Ended::of(&output);
    assert_eq!(loaded.code, Some(0), "{loaded:?}");
    let mut saved = bench.command(&["save", "x:1"]).stdout(Stdio::piped()).spawn().expect("start");
    let other = Bench::new("vfs");
    let output = other.command(&["load", "-"]).stdin(saved.stdout.take().expect("a pipe")).output().expect("run");
    assert_eq!(Ended::of(&output).out, loaded.out);
    assert!(gzip.wait().expect("wait").success() && saved.wait().expect("wait").success());
}

#[test]
fn a_save_that_fails_leaves_nothing() {
    let bench = Bench::new("vfs");
    bench.must(&["load", bench.layout("x:1", &bench.three()).path()]);
    let out = bench.place().join("out");
    let path = out.to_str().expect("UTF-8");
    let unknown = bench.lamina(&["save", "-o", path, "nosuch"]);
    assert!(unknown.code != Some(0) && unknown.err.contains("nosuch"), "{unknown:?}");
    // A file of a layer was lost.
    let top = bench.records("images")[0]["layer"].as_str().expect("an id").to_owned();
    fs::remove_file(bench.graph().join("vfs/dir").join(top).join("etc/other")).expect("remove");
    for format in ["oci-archive", "oci-dir"] {
        let ended = bench.lamina(&["save", "--format", format, "-o", path, "x:1"]);
        assert_ne!(ended.code, Some(0), "{ended:?}");
        let left: Vec<_> =
            fs::read_dir(bench.place()).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert!(!left.iter().any(|name| name == "out" || name.to_string_lossy().starts_with(".lamina")), "{left:?}");
    }
    for wrong in [&["save", "--format", "tgz", "-o", path, "x:1"][..], &["save", "-j", "x:1"]] {
        assert_ne!(bench.lamina(wrong).code, Some(0), "{wrong:?}");
    }
}
