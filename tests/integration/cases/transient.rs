//! Transient stores and volatile containers: which records a reboot forgets, and what becomes of their trees.

use std::fs;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Content, Form};
use integration::store::Store;
use integration::{Outcome, Scratch, Skip, archive, invariants};
use serde_json::Value;

use crate::images::text;

pub(crate) const CASES: &[Case] = &[
    case("transient::gone_after_a_reboot::overlay", 120, |s| reboot(s, "overlay")),
    case("transient::gone_after_a_reboot::vfs", 120, |s| reboot(s, "vfs")),
    case("transient::gone_after_a_reboot::btrfs", 120, |s| reboot(s, "btrfs")),
    case("transient::others_leave_its_layers_alone::overlay", 120, |s| beside(s, "overlay")),
    case("transient::others_leave_its_layers_alone::vfs", 120, |s| beside(s, "vfs")),
    case("transient::others_leave_its_layers_alone::btrfs", 120, |s| beside(s, "btrfs")),
    case("transient::volatile_containers::overlay", 120, |s| volatile(s, "overlay")),
    case("transient::volatile_containers::vfs", 120, |s| volatile(s, "vfs")),
    case("transient::volatile_containers::btrfs", 120, |s| volatile(s, "btrfs")),
];

const IMAGE: &str = "localhost/image:1";

/// A store with an image, as an ordinary and as a transient one.
fn stores(scratch: &Scratch, driver: &'static str) -> Result<(Engines, Store), Skip> {
    let engines = Engines::new(scratch, driver)?;
    if engines.store.is_peer() {
        return Err(Skip("Debian's version of the reference has no transient store".to_owned()));
    }
    let layout = images::image(&engines, Content::Small, Form::Gzip)?;
    engines.load(&layout, Form::Gzip, IMAGE);
    let mut transient = engines.store.clone();
    transient.flags.push("--transient-store".to_owned());
    Ok((engines, transient))
}

/// Makes a container that has written something; gives its layer.
fn container(store: &Store, name: &str, flags: &[&str]) -> String {
    store.ok(&[&["create-container", "-n", name], flags, &[IMAGE]].concat());
    let layer = text(&store.list(&["container", "-j", name])[0], "layer").to_owned();
    archive::put(&store.mount(&layer), "written", name);
    store.unmount(&layer);
    layer
}

fn has(file: &std::path::Path, id: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("\"id\":\"{id}\"")))
}

fn reboot(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, store) = stores(scratch, driver)?;
    let (images, records) = (store.list(&["images", "-j"]), store.ids());
    let layer = container(&store, "con", &[]);
    let lasting = container(&engines.store, "lasting", &[]);
    assert!(has(&store.run_layers_dir().join("volatile-layers.json"), &layer), "the layer's record is in the run root");
    assert!(!has(&store.layers_dir().join("layers.json"), &layer));
    assert!(store.run.join(format!("{driver}-containers/volatile-containers.json")).is_file(), "so is the container's");
    assert!(store.run.join(format!("{driver}-containers/containers.lock")).is_file(), "and their lock");
    assert_eq!(store.changes(&layer), ["A /written"]);
    fs::remove_dir_all(&store.run).expect("what a reboot does to the run root");
    assert!(store.list(&["containers", "-j"]).is_empty(), "the container is gone");
    assert_eq!(store.list(&["images", "-j"]), images, "the image isn't");
    assert_eq!(engines.store.list(&["containers", "-j"]).len(), 1, "nor is a lasting container");
    assert!(store.layer_dir(&layer).is_dir(), "the tree is nobody's");
    store.ok(&["gc"]);
    assert!(!store.layer_dir(&layer).exists(), "gc takes it");
    assert!(store.layer_dir(&lasting).is_dir(), "and not that of a lasting container");
    assert!(records.iter().all(|id| store.layer_dir(id).is_dir()), "and no image's");
    engines.store.ok(&["delete-container", "lasting"]);
    invariants::assert_clean(&engines.store, "after a reboot");
    engines.assert_checked("after a reboot");
    engines.assert_whole("after a reboot");
    Ok(())
}

fn beside(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, transient) = stores(scratch, driver)?;
    let layer = container(&transient, "con", &[]);
    let ordinary = &engines.store;
    assert!(ordinary.list(&["containers", "-j"]).is_empty(), "each sort lists its own");
    for args in [&["gc"][..], &["check"], &["create-layer", "-i", "passing"], &["delete-layer", "passing"]] {
        ordinary.ok(args);
    }
    for args in [&["delete-image", IMAGE][..], &["wipe"], &["create-layer", "-i", &layer]] {
        let refused = ordinary.run(args);
        assert!(!refused.output.status.success(), "{}", refused.describe());
    }
    assert_eq!(transient.changes(&layer), ["A /written"], "the container's layer is whole");
    transient.ok(&["check"]);
    transient.ok(&["delete-container", "con"]);
    assert!(!transient.layer_dir(&layer).exists());
    ordinary.ok(&["delete-image", IMAGE]);
    invariants::assert_clean(ordinary, "in the end");
    Ok(())
}

fn volatile(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let file = archive::small(scratch.path(), "image", 3, 300);
    engines.podman(&["import", "--quiet", file.to_str().expect("a printable path"), IMAGE]);
    let ours = &engines.store;
    let by_buildah = engines.buildah(&["from", "--pull-never", "--name", "work", IMAGE]);
    let layer = container(ours, "quick", &["--volatile"]);
    let flag = |name: &str| ours.list(&["container", "-j", name])[0]["flags"]["Volatile"].clone();
    assert_eq!((flag(&by_buildah), flag("quick")), (Value::Bool(true), Value::Bool(true)), "both are volatile");
    let seen = engines.container_ids().len();
    assert_eq!(seen, 2, "podman sees both, and keeps the layers below them");
    engines.buildah(&["rm", "work"]);
    let refused = engines.podman_command().args(["rmi", IMAGE]).output().expect("run podman");
    assert!(!refused.status.success(), "podman removes no image that a volatile container needs");
    let by_buildah = engines.buildah(&["from", "--pull-never", "--name", "work", IMAGE]);
    let theirs = text(&ours.list(&["container", "-j", &by_buildah])[0], "layer").to_owned();
    if driver == "overlay" {
        for id in [&layer, &theirs] {
            assert!(is_volatile(ours, &[], id, "quick", &by_buildah, &layer), "{id} is mounted so");
        }
        let conf = engines.join("disabled.conf");
        let (root, run) = (ours.root.display(), ours.run.display());
        let text = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{root}\"\nrunroot = \"{run}\"\n[storage.options]\n\
             disable-volatile = true\n"
        );
        fs::write(&conf, text).expect("write a configuration");
        if !ours.is_peer() {
            let disabled = [conf.to_str().expect("a printable path")];
            assert!(!is_volatile(ours, &disabled, &layer, "quick", &by_buildah, &layer), "not where it is disabled");
        }
    }
    if !ours.is_peer() {
        // A version that knows files for volatile records has been here.
        for kind in ["containers", "layers"] {
            fs::write(ours.root.join(format!("{driver}-{kind}/volatile-{kind}.json")), "[]").expect("write records");
        }
        let layer = container(ours, "quicker", &["--volatile"]);
        assert!(has(&ours.layers_dir().join("volatile-layers.json"), &layer), "its layer's record is in that file");
        assert!(!has(&ours.layers_dir().join("layers.json"), &layer));
        assert_eq!(ours.changes(&layer), ["A /written"]);
        ours.ok(&["delete-container", "quicker"]);
    }
    ours.ok(&["delete-container", "quick"]);
    engines.buildah(&["rm", "work"]);
    ours.ok(&["delete-image", IMAGE]);
    invariants::assert_clean(ours, "in the end");
    Ok(())
}

/// Whether the mount of a container, by the configuration in a file where one is given, is a volatile one.
fn is_volatile(store: &Store, conf: &[&str], id: &str, ours: &str, theirs: &str, own: &str) -> bool {
    let name = if id == own { ours } else { theirs };
    let mut command = match conf.first() {
        None => store.command(),
        Some(conf) => {
            let mut command = std::process::Command::new(&store.bin);
            command.env("CONTAINERS_STORAGE_CONF", conf);
            command
        }
    };
    command.args(["mount", name]);
    let path = integration::store::must(command);
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let line = mounts.lines().find(|line| line.contains(path.trim_end())).expect("it is mounted").to_owned();
    store.unmount(id);
    line.contains("volatile")
}
