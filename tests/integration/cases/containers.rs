//! Containers that podman and buildah made, as Lamina shows them.

use std::fs;
use std::path::Path;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::{Outcome, Scratch, archive, images, invariants};

use crate::images::{alike, alike_as_data, shown_alike, text};

pub(crate) const CASES: &[Case] = &[
    case("containers::listed_and_inspected::overlay", 120, |s| inspected(s, "overlay")),
    case("containers::listed_and_inspected::vfs", 120, |s| inspected(s, "vfs")),
    case("containers::listed_and_inspected::btrfs", 120, |s| inspected(s, "btrfs")),
    case("containers::mounted_with_podman::overlay", 120, |s| mounted(s, "overlay")),
    case("containers::mounted_with_podman::vfs", 120, |s| mounted(s, "vfs")),
    case("containers::mounted_with_podman::btrfs", 120, |s| mounted(s, "btrfs")),
    case("containers::made_by_lamina_and_seen_by_the_reference::overlay", 120, |s| made(s, "overlay")),
    case("containers::made_by_lamina_and_seen_by_the_reference::vfs", 120, |s| made(s, "vfs")),
    case("containers::made_by_lamina_and_seen_by_the_reference::btrfs", 120, |s| made(s, "btrfs")),
];

fn inspected(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    let population = images::populate(&engines)?;
    let listed = alike_as_data(ours, &peer, &["containers", "-j"]);
    let records = ours.records("containers");
    assert_eq!(listed, records, "containers -j shows the records field by field");
    assert_eq!(engines.container_ids().len(), 2, "podman sees its own and buildah's");
    for (id, name) in [(&population.by_podman, "box"), (&population.by_buildah, "work")] {
        let record = records.iter().find(|record| record["id"] == id.as_str()).expect("a record of the container");
        shown_alike(ours, &peer, &["container", "-j", name], record);
        shown_alike(ours, &peer, &["container", "-j", text(record, "layer")], record);
        alike(ours, &peer, &["container", id]);
        alike(ours, &peer, &["get-names", id]);
        alike(ours, &peer, &["list-container-data", id]);
        for verb in ["get-container-dir", "get-container-run-dir"] {
            alike(ours, &peer, &[verb, id]);
        }
        assert!(
            ours.ok(&["metadata", id]).contains(record["metadata"].as_str().unwrap_or_default()),
            "metadata of {name}"
        );
        alike(ours, &peer, &["layer", text(record, "layer")]);
    }
    alike(ours, &peer, &["containers"]);
    Ok(())
}

fn mounted(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let ours = &engines.store;
    let population = images::populate(&engines)?;
    for (id, name) in [(&population.by_podman, "box"), (&population.by_buildah, "work")] {
        let record = ours.records("containers").into_iter().find(|record| record["id"] == id.as_str());
        let record = record.expect("a record of the container");
        let layer = text(&record, "layer");
        let wrote = format!("written-in-{name}");
        assert!(ours.changes(layer).contains(&format!("A /{wrote}")), "what the container wrote");
        let path = ours.mount(name);
        assert_eq!(fs::read_to_string(path.join(&wrote)).expect("read a container's file"), name);
        archive::put(&path, "written-by-lamina", "x");
        ours.unmount(name);
    }
    // Both hold it mounted; it stays until both have let go.
    let path = ours.mount("box");
    assert_eq!(Path::new(&engines.podman(&["mount", "box"])), path, "both see the container at one place");
    assert!(path.join("written-by-lamina").exists(), "podman sees what Lamina wrote");
    ours.unmount("box");
    assert!(path.join("written-by-lamina").exists(), "podman holds it still");
    engines.podman(&["unmount", "box"]);
    let changed = engines.podman(&["diff", "box"]);
    assert!(changed.contains("A /written-by-lamina"), "podman's diff shows what Lamina wrote: {changed}");
    assert_eq!(ours.counts(), [], "nothing is counted");
    engines.buildah(&["commit", "--quiet", "--rm", "work", "localhost/from-work:1"]);
    let top = ours.mount_image("localhost/from-work:1");
    assert!(top.join("written-by-lamina").exists(), "buildah committed what Lamina wrote");
    ours.unmount("localhost/from-work:1");
    invariants::assert_clean(ours, "after both mounted and released");
    engines.assert_whole("after Lamina wrote in containers");
    Ok(())
}

fn made(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    images::populate(&engines)?;
    for (number, image) in ["localhost/copied:1", ""].into_iter().enumerate() {
        let name = format!("ours-{number}");
        let out = ours.ok(&["create-container", "-n", &name, "-m", "{\"of\":\"<Lamina> & friends\"}", image]);
        let id = out.lines().next().expect("create-container writes the id").to_owned();
        let found = alike_as_data(ours, &peer, &["container", "-j", &name]);
        assert_eq!(found[0]["id"], id.as_str(), "{name} is found");
        let file = scratch.join("data");
        fs::write(&file, "data of a container").expect("write a file");
        ours.ok(&["set-container-data", "-f", file.to_str().expect("a printable path"), &id, "Some-Key"]);
        let data = alike(ours, &peer, &["get-container-data", &id, "Some-Key"]);
        assert_eq!(data.output.stdout, b"data of a container");
        alike(ours, &peer, &["container", &id]);
        let path = peer.mount(&name);
        archive::put(&path, "by-the-reference", "x");
        peer.unmount(&name);
        assert_eq!(ours.changes(text(&found[0], "layer")), ["A /by-the-reference"]);
        assert!(engines.container_ids().contains(&id), "podman lists {name} as an external container");
        engines.assert_whole("with a container of Lamina's");
        peer.ok(&["delete-container", &id]);
        assert!(!ours.list(&["containers", "-j"]).iter().any(|record| record["id"] == id.as_str()), "{name} is gone");
        assert!(!ours.layer_dir(text(&found[0], "layer")).exists(), "and its layer");
    }
    invariants::assert_clean(ours, "after the reference deleted what Lamina made");
    Ok(())
}
