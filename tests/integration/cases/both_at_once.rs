//! podman, buildah and Lamina at work on one root at the same time.
//!
//! What a loop makes for itself nobody else touches: each step on it must succeed, and what it keeps must be there at the
//! end. What the loops share, any of them may delete at any time: there a step may fail, with the words that say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Content, Form, NAME};
use integration::store::{end, id};
use integration::{Outcome, Scratch, archive, invariants, machine};

pub(crate) const CASES: &[Case] = &[
    case("both_at_once::podman_buildah_and_lamina::overlay", 600, |s| together(s, "overlay")),
    case("both_at_once::podman_buildah_and_lamina::vfs", 600, |s| together(s, "vfs")),
    case("both_at_once::podman_buildah_and_lamina::btrfs", 600, |s| together(s, "btrfs")),
];

/// The image that every loop uses and nobody deletes.
const BASE: &str = "localhost/base:1";

/// How a message may end when another loop has deleted, or holds, what both use.
const ALLOWED: &[&str] = &[
    "image not known",
    "layer not known",
    "container not known",
    "identifier is not an image",
    "identifier is not a layer, image, or container",
    "image is in use by a container",
    "layer is in use by an image",
    "layer is in use by a container",
    "layer has children",
    // podman looks up what it has just pulled by its id, and says this of one that is gone again.
    "cannot specify 64-byte hexadecimal strings",
];

/// One loop: what it does, what went wrong, and what must be there when all is over.
struct Hand<'a> {
    engines: &'a Engines,
    until: Instant,
    faults: &'a Mutex<Vec<String>>,
    refusals: &'a Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Kept {
    rounds: usize,
    /// In how many rounds what the loops share was there to be used.
    used: usize,
    images: Vec<String>,
    containers: Vec<String>,
    layers: Vec<String>,
}

impl Hand<'_> {
    fn work(&self, round: impl Fn(usize, &mut Kept)) -> Kept {
        let mut kept = Kept::default();
        while Instant::now() < self.until && self.faults.lock().expect("no loop panicked").len() < 20 {
            round(kept.rounds, &mut kept);
            kept.rounds += 1;
        }
        kept
    }

    fn fault(&self, what: String) {
        self.faults.lock().expect("no loop panicked").push(what);
    }

    /// A step on what only this loop uses.
    fn own(&self, mut command: Command, args: &[&str]) -> Option<String> {
        command.args(args);
        let ended = end(command);
        if !ended.output.status.success() {
            self.fault(ended.describe());
            return None;
        }
        Some(String::from_utf8_lossy(&ended.output.stdout).trim_end().to_owned())
    }

    /// A step on what another loop may delete or use.
    fn shared(&self, mut command: Command, args: &[&str]) -> Option<String> {
        command.args(args);
        let ended = end(command);
        if ended.output.status.success() {
            return Some(String::from_utf8_lossy(&ended.output.stdout).trim_end().to_owned());
        }
        let reason = reason(&ended.stderr());
        if ALLOWED.iter().any(|end| reason.ends_with(end)) {
            self.refusals.lock().expect("no loop panicked").push(reason);
        } else {
            self.fault(ended.describe());
        }
        None
    }

    fn lamina(&self) -> Command {
        self.engines.store.command()
    }

    fn podman(&self) -> Command {
        self.engines.podman_command()
    }

    fn buildah(&self) -> Command {
        self.engines.buildah_command()
    }
}

fn together(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let layout = images::image(&engines, Content::Small, Form::Gzip)?;
    let other = engines.beside("other", "overlay");
    other.copy(&images::transport(&layout, Form::Gzip), &other.reference(NAME));
    let child = engines.join("child");
    images::change(&other, NAME, "localhost/child:1", |dir| archive::put(dir, "child", "x"));
    other.copy(&other.reference("localhost/child:1"), &format!("oci:{}:localhost/child:1", child.display()));
    let pulled = engines.join("pulled");
    other.copy(&other.reference(NAME), &format!("oci:{}:{NAME}", pulled.display()));
    let small = archive::small(scratch.path(), "small", 12, 500);
    engines.podman(&["import", "--quiet", small.to_str().expect("a printable path"), BASE]);

    let seconds = if machine::full() { 120 } else { 40 };
    let (faults, refusals) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let until = Instant::now() + Duration::from_secs(seconds);
    let hand = Hand { engines: &engines, until, faults: &faults, refusals: &refusals };
    let kept = thread::scope(|scope| {
        let loops = [
            scope.spawn(|| pull_and_push(&hand, &pulled)),
            scope.spawn(|| commit(&hand)),
            scope.spawn(|| load_and_delete(&hand, &[layout.clone(), child.clone()])),
            scope.spawn(|| containers(&hand)),
            scope.spawn(|| layers(&hand, &small)),
        ];
        loops.map(|one| one.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure)))
    });
    let faults = faults.into_inner().expect("no loop panicked");
    let rounds: Vec<usize> = kept.iter().map(|kept| kept.rounds).collect();
    println!(
        "rounds of each loop: {rounds:?}; refused: {}",
        summary(&refusals.into_inner().expect("no loop panicked"))
    );
    assert!(faults.is_empty(), "{} steps failed:\n{}", faults.len(), faults.join("\n"));
    assert!(rounds.iter().all(|rounds| *rounds > 1), "each loop did some work: {rounds:?}");
    let used: Vec<usize> = kept.iter().map(|kept| kept.used).collect();
    assert!(used[0] > 0, "podman found what it pulled at least once, to push it: {used:?}");
    assert!(used[2] > 0 || engines.store.is_peer(), "Lamina found what it loaded at least once: {used:?}");
    afterwards(&engines, &kept);
    Ok(())
}

/// The last line of a message, without the quotation marks of skopeo's log and what the reference's `mount` and `unmount` add.
fn reason(errors: &str) -> String {
    let last = errors.trim_end().lines().last().unwrap_or_default();
    let end = [" while mounting ", " while unmounting "].iter().filter_map(|words| last.find(words)).min();
    last[..end.unwrap_or(last.len())].trim_end_matches('"').to_owned()
}

fn summary(refusals: &[String]) -> String {
    let count = |end: &&str| refusals.iter().filter(|line| line.ends_with(*end)).count();
    let lines = ALLOWED.iter().map(|end| (end, count(end))).filter(|(_, count)| *count > 0);
    lines.map(|(end, count)| format!("{count} {end:?}")).collect::<Vec<_>>().join(", ")
}

/// Nothing is lost, nothing is mounted, and both find the store in order.
fn afterwards(engines: &Engines, kept: &[Kept]) {
    let store = &engines.store;
    let names: Vec<String> = store
        .records("images")
        .iter()
        .flat_map(|record| record["names"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let containers = engines.container_ids();
    let layers = store.ids();
    for one in kept {
        for name in &one.images {
            assert!(names.contains(name), "image {name} is lost; there are {names:?}");
        }
        for container in &one.containers {
            assert!(containers.contains(container), "container {container} is lost; there are {containers:?}");
        }
        for layer in &one.layers {
            assert!(layers.contains(layer), "layer {layer} is lost");
        }
    }
    assert_eq!(store.counts(), [], "nothing stays counted as mounted");
    invariants::assert_clean(store, "after all is done");
    engines.assert_checked("after all is done");
    engines.assert_whole("after all is done");
}

/// podman pulls an image that Lamina loads and deletes as well, pushes it to a directory, and removes it.
fn pull_and_push(hand: &Hand<'_>, layout: &Path) -> Kept {
    let out = hand.engines.join("pushed");
    let source = images::transport(layout, Form::Gzip);
    // podman names what it pulls from a directory after the directory.
    let name = format!("localhost{}:latest", layout.display());
    hand.work(|round, kept| {
        hand.shared(hand.podman(), &["pull", "--quiet", &source]);
        let kind = if round % 2 == 0 { "dir" } else { "oci" };
        let pushed = hand.shared(hand.podman(), &["push", "--quiet", &name, &format!("{kind}:{}", out.display())]);
        if pushed.is_some() {
            kept.used += 1;
            if !out.join(if kind == "dir" { "manifest.json" } else { "index.json" }).exists() {
                hand.fault(format!("podman pushed nothing to {}", out.display()));
            }
        }
        let _ = fs::remove_dir_all(&out);
        hand.shared(hand.podman(), &["rmi", &name]);
    })
}

/// buildah commits images of its own, and deletes all but some.
fn commit(hand: &Hand<'_>) -> Kept {
    hand.work(|round, kept| {
        let name = format!("localhost/built:{round}");
        let Some(container) = hand.own(hand.buildah(), &["from", "--pull-never", BASE]) else { return };
        if let Some(path) = hand.own(hand.buildah(), &["mount", &container]) {
            archive::put(Path::new(&path), &format!("built-{round}"), "x");
            hand.own(hand.buildah(), &["unmount", &container]);
        }
        hand.own(hand.buildah(), &["commit", "--quiet", "--rm", &container, &name]);
        if round % 4 == 0 {
            kept.images.push(name);
        } else {
            hand.own(hand.podman(), &["rmi", &name]);
        }
    })
}

/// Lamina loads what podman pulls too, and an image on top of it, mounts, and deletes.
fn load_and_delete(hand: &Hand<'_>, layouts: &[PathBuf]) -> Kept {
    let store = &hand.engines.store;
    hand.work(|round, kept| {
        let name = format!("localhost/loaded:{round}");
        let layout = &layouts[round % layouts.len()];
        let loaded = if store.is_peer() {
            let source = images::transport(layout, Form::Gzip);
            let copied = ["copy", "--quiet", &source, &hand.engines.reference(&name)];
            hand.shared(hand.engines.skopeo_command(), &copied)
        } else {
            hand.shared(hand.lamina(), &["load", "-n", &name, layout.to_str().expect("a printable path")])
        };
        if loaded.is_none() {
            return;
        }
        // Debian's version of the reference's command can't mount an image of vfs.
        let mountable = store.has_mounts() || !store.is_peer();
        if mountable && hand.shared(hand.lamina(), &["mount", "-r", &name]).is_some() {
            kept.used += 1;
            hand.shared(hand.lamina(), &["unmount", &name]);
        }
        hand.shared(hand.lamina(), &["delete-image", &name]);
        // An image of its own, with a layer of its own.
        let (layer, image) = (id(format!("layer of image {round}")), format!("localhost/made:{round}"));
        hand.own(hand.lamina(), &["create-layer", "-i", &layer]);
        hand.own(hand.lamina(), &["create-image", "-n", &image, &layer]);
        hand.own(hand.lamina(), &["delete-image", &image]);
        if round % 4 == 0 {
            let layer = id(format!("kept layer of {round}"));
            hand.own(hand.lamina(), &["create-layer", "-i", &layer]);
            kept.layers.push(layer);
        }
    })
}

/// podman makes containers, Lamina mounts and diffs them, podman removes them.
fn containers(hand: &Hand<'_>) -> Kept {
    hand.work(|round, kept| {
        let name = format!("box-{round}");
        let Some(container) = hand.own(hand.podman(), &["create", "--name", &name, BASE, "/bin/none"]) else { return };
        if let Some(path) = hand.own(hand.lamina(), &["mount", &name]) {
            if Path::new(&path).join("dir0/small-0").exists() {
                archive::put(Path::new(&path), "by-lamina", "x");
            } else {
                hand.fault(format!("{path} was said to be mounted and is empty"));
            }
            hand.own(hand.lamina(), &["unmount", &name]);
        }
        let changed = hand.own(hand.podman(), &["diff", &name]).unwrap_or_default();
        if !changed.contains("A /by-lamina") {
            hand.fault(format!("podman's diff of {name} has no change of Lamina's: {changed}"));
        }
        if round % 4 == 0 {
            kept.containers.push(container);
        } else {
            hand.own(hand.podman(), &["rm", &name]);
        }
    })
}

/// Lamina imports, mounts, diffs and deletes layers of its own.
fn layers(hand: &Hand<'_>, archive: &Path) -> Kept {
    let (file, digest) = (archive.to_str().expect("a printable path"), integration::tree::digest_of(archive));
    let out = hand.engines.join("diff.tar");
    hand.work(|round, kept| {
        let (base, top) = (id(format!("base {round}")), id(format!("top {round}")));
        if hand.own(hand.lamina(), &["import-layer", "-i", &base, "-f", file]).is_none() {
            return;
        }
        hand.own(hand.lamina(), &["create-layer", "-i", &top, &base]);
        if let Some(path) = hand.own(hand.lamina(), &["mount", &top]) {
            if !Path::new(&path).join("dir0/small-0").exists() {
                hand.fault(format!("{path} was said to be mounted and is empty"));
            }
            hand.own(hand.lamina(), &["unmount", &top]);
        }
        hand.own(hand.lamina(), &["diff", "-u", "-f", out.to_str().expect("a printable path"), &base]);
        if integration::tree::digest_of(&out) != digest {
            hand.fault(format!("the diff of {base} is not what was imported"));
        }
        let _ = fs::remove_file(&out);
        hand.own(hand.lamina(), &["delete-layer", &top]);
        if round % 4 == 0 {
            kept.layers.push(base);
        } else {
            hand.own(hand.lamina(), &["delete-layer", &base]);
        }
    })
}
