//! Additional stores whose owner means harm: nothing waits, nothing outside is read, and the own store works on.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use integration::case::{Case, case};
use integration::store::{Ended, Store, id};
use integration::{Outcome, Scratch, Skip, archive};
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    case("hostile_store::leads_nowhere::overlay", 180, |s| hostile(s, "overlay")),
    case("hostile_store::leads_nowhere::vfs", 180, |s| hostile(s, "vfs")),
    case("hostile_store::leads_nowhere::btrfs", 180, |s| hostile(s, "btrfs")),
];

/// What stands outside and must not be seen.
const SECRET: &str = "this stands outside of the store";

struct Places {
    below: PathBuf,
    outside: PathBuf,
    driver: &'static str,
    layer: String,
}

impl Places {
    fn records(&self, kind: &str) -> PathBuf {
        self.below.join(format!("{}-{kind}s/{kind}s.json", self.driver))
    }

    fn data(&self) -> PathBuf {
        self.below.join(format!("{}-images/img", self.driver))
    }

    fn layer(&self) -> PathBuf {
        let layers = match self.driver {
            "vfs" => "vfs/dir",
            "btrfs" => "btrfs/subvolumes",
            driver => driver,
        };
        self.below.join(layers).join(&self.layer)
    }

    fn split(&self) -> PathBuf {
        self.below.join(format!("{}-layers/{}.tar-split.gz", self.driver, self.layer))
    }

    /// Changes the first record of a kind.
    fn edit(&self, kind: &str, edit: impl FnOnce(&mut Value)) {
        let file = self.records(kind);
        let mut records: Value = serde_json::from_slice(&fs::read(&file).expect("read records")).expect("JSON");
        edit(&mut records[0]);
        fs::write(&file, records.to_string()).expect("write records");
    }
}

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("make a fifo");
}

fn huge(path: &Path, size: u64) {
    File::create(path).and_then(|file| file.set_len(size)).expect("make a large file");
}

/// Puts a link to `target` where `path` was.
fn replaced(path: &Path, target: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
    symlink(target, path).expect("make a link");
}

/// Moves `path` out of the store, and leaves a link.
fn led_out(places: &Places, path: &Path) {
    let there = places.outside.join(path.file_name().expect("a name"));
    fs::rename(path, &there).expect("move it out");
    symlink(&there, path).expect("make a link");
}

type Attack = (&'static str, fn(&Places));

const ATTACKS: &[Attack] = &[
    ("a fifo for layers.json", |p| fifo(&p.records("layer"))),
    ("a fifo for images.json", |p| fifo(&p.records("image"))),
    ("a fifo for data", |p| fifo(&p.data().join("key"))),
    ("a fifo for a tar-split", |p| fifo(&p.split())),
    ("a large layers.json", |p| huge(&p.records("layer"), 1 << 30)),
    ("large data", |p| huge(&p.data().join("key"), 1 << 34)),
    ("a link for images.json", |p| replaced(&p.records("image"), &p.outside.join("images.json"))),
    ("a link for data", |p| replaced(&p.data().join("key"), &p.outside.join("key"))),
    ("a link for the directory of data", |p| replaced(&p.data(), &p.outside)),
    ("a link for the layer's own files", |p| {
        let path = if p.driver == "overlay" { p.layer().join("diff") } else { p.layer() };
        replaced(&path, &p.outside);
    }),
    ("a link for the driver's home", |p| led_out(p, &p.below.join(p.driver))),
    ("a link for the directory of layers", |p| led_out(p, &p.below.join(format!("{}-layers", p.driver)))),
    ("a link up for a layer", |p| replaced(&p.layer(), Path::new("../../../outside"))),
    ("an id that leads out", |p| p.edit("image", |image| image["id"] = json!("../../outside"))),
    ("a layer's id that leads out", |p| p.edit("layer", |layer| layer["id"] = json!("../../../outside"))),
    ("a parent that leads out", |p| p.edit("layer", |layer| layer["parent"] = json!("../../../outside"))),
    ("a layer that is its own parent", |p| p.edit("layer", |layer| layer["parent"] = layer["id"].clone())),
    ("keys that lead out", |p| {
        p.edit("image", |image| image["big-data-names"] = json!(["../../../outside/key", "/", "..", "key"]));
    }),
    ("absurd sizes", |p| {
        p.edit("image", |image| image["big-data-sizes"] = json!({"key": -1e300}));
        p.edit("layer", |layer| layer["diff-size"] = json!(i64::MAX));
    }),
    ("lower layers that lead out", |p| {
        fs::write(p.layer().join("lower"), "l/../../../outside:/outside").expect("write a file");
        p.edit("layer", |layer| layer["parent"] = json!("base"));
    }),
    ("records that are none", |p| fs::write(p.records("layer"), "{").expect("write a file")),
];

fn hostile(scratch: &Scratch, driver: &'static str) -> Outcome {
    let own = Store::new(scratch, "own", driver);
    if own.is_peer() {
        return Err(Skip("the reference trusts additional stores".to_owned()));
    }
    own.ok(&["create-layer", "-i", "mine"]);
    let below = Store::new(scratch, "below", driver);
    let layer = id("theirs");
    below.create("base", None);
    below.import(&layer, None, &archive::small(scratch.path(), "small", 3, 100));
    below.ok(&["create-image", "-i", "img", "-n", "image", &layer]);
    let key = scratch.join("key");
    fs::write(&key, "data").expect("write a file");
    below.ok(&["set-image-data", "-f", key.to_str().expect("a printable path"), "img", "key"]);
    let pristine = scratch.join("pristine");
    fs::rename(&below.root, &pristine).expect("keep the store");
    for (what, attack) in ATTACKS {
        let work = scratch.make("work");
        copy(&pristine, &work.join("below"));
        let outside = scratch.make("work/outside");
        for name in ["key", "images.json"] {
            fs::write(outside.join(name), SECRET).expect("write a secret");
        }
        let places = Places { below: work.join("below"), outside, driver, layer: layer.clone() };
        if *what != "lower layers that lead out" || driver == "overlay" {
            attack(&places);
            look(&own, &places, what);
        }
        fs::remove_dir_all(&work).expect("clear");
    }
    Ok(())
}

/// Everything that looks into the store: each ends at once, tells nothing of what is outside, and leaves the own store usable.
fn look(own: &Store, places: &Places, what: &str) {
    let option = format!("{}.imagestore={}", places.driver, places.below.display());
    let store = Store { flags: vec!["--storage-opt".to_owned(), option], ..own.clone() };
    let mut said = Vec::new();
    let mut ask = |args: &[&str]| -> Ended {
        let mut line = vec!["10".to_owned(), store.bin.display().to_string()];
        line.extend(store.argv(args)[1..].iter().map(|word| word.to_string_lossy().into_owned()));
        let mut command = std::process::Command::new("timeout");
        command.args(line).stdin(std::process::Stdio::null());
        let ended = integration::store::end(command);
        assert_ne!(ended.output.status.code(), Some(124), "{what} makes it wait: {}", ended.describe());
        assert_ne!(ended.output.status.code(), Some(101), "{what} makes it panic: {}", ended.describe());
        let all = [ended.output.stdout.as_slice(), &ended.output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains(SECRET), "{what} leads out: {}", ended.describe());
        said.push(ended.describe());
        ended
    };
    for args in [
        &["layers"][..],
        &["images"],
        &["image", "image"],
        &["layer", &places.layer],
        &["get-image-data", "img", "key"],
        &["list-image-data", "img"],
        &["diff", "-u", &places.layer],
        &["check"],
        &["gc"],
    ] {
        ask(args);
    }
    if ask(&["create-container", "-i", "con", "image"]).output.status.success() {
        let path = PathBuf::from(String::from_utf8_lossy(&ask(&["mount", "con"]).output.stdout).trim_end());
        let secret = path.is_absolute() && path.join("key").exists();
        assert!(!secret, "{what}: a container shows what is outside");
        ask(&["unmount", "con"]);
        let deleted = ask(&["delete-container", "con"]);
        assert!(deleted.output.status.success(), "{what}: {}", deleted.describe());
    }
    if ask(&["add-names", "-n", "new", "img"]).output.status.success() {
        let deleted = ask(&["delete-image", "new"]);
        assert!(deleted.output.status.success(), "{what}: {}", deleted.describe());
    }
    let made = ask(&["create-layer", "-i", "another", "mine"]);
    assert!(made.output.status.success(), "{what} keeps the own store from working: {}", made.describe());
    assert!(ask(&["delete-layer", "another"]).output.status.success());
    assert_eq!(own.ids(), ["mine"], "{what}: the own store is as it was");
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.expect("run cp").success(), "a store is copied");
}
