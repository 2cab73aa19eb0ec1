//! What podman, buildah and skopeo made, deleted by Lamina; and what they say of the store afterwards.

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Population};
use integration::store::{Ended, Store};
use integration::{Outcome, Scratch, invariants};
use serde_json::Value;

use crate::images::{alike, text};

pub(crate) const CASES: &[Case] = &[
    case("engines::what_is_used_is_not_deleted::overlay", 120, |s| refused(s, "overlay")),
    case("engines::what_is_used_is_not_deleted::vfs", 120, |s| refused(s, "vfs")),
    case("engines::what_is_used_is_not_deleted::btrfs", 120, |s| refused(s, "btrfs")),
    case("engines::deleted_by_lamina::overlay", 120, |s| deleted(s, "overlay")),
    case("engines::deleted_by_lamina::vfs", 120, |s| deleted(s, "vfs")),
    case("engines::deleted_by_lamina::btrfs", 120, |s| deleted(s, "btrfs")),
    case("engines::wiped_by_lamina::overlay", 120, |s| wiped(s, "overlay")),
    case("engines::wiped_by_lamina::vfs", 120, |s| wiped(s, "vfs")),
    case("engines::wiped_by_lamina::btrfs", 120, |s| wiped(s, "btrfs")),
    case("engines::exists_says_what_is_there::overlay", 120, |s| exists(s, "overlay")),
    case("engines::exists_says_what_is_there::vfs", 120, |s| exists(s, "vfs")),
    case("engines::exists_says_what_is_there::btrfs", 120, |s| exists(s, "btrfs")),
];

fn filled(scratch: &Scratch, driver: &'static str) -> Result<(Engines, Population), integration::Skip> {
    let engines = Engines::new(scratch, driver)?;
    let population = images::populate(&engines)?;
    Ok((engines, population))
}

fn top_layer(store: &Store, image: &str) -> String {
    text(&store.list(&["image", "-j", image])[0], "layer").to_owned()
}

#[track_caller]
fn assert_refused(ended: &Ended, because: &str) {
    assert!(!ended.output.status.success(), "it is refused: {}", ended.describe());
    assert!(ended.stderr().contains(because), "the reason is {because:?}: {}", ended.describe());
}

fn refused(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, population) = filled(scratch, driver)?;
    let ours = &engines.store;
    let before = (ours.records("images"), ours.records("containers"), ours.ids());
    for image in [population.images[0], population.images[1]] {
        assert_refused(&ours.run(&["delete-image", image]), "image is in use by a container");
        assert_refused(&ours.run(&["delete-image", "-t", image]), "image is in use by a container");
    }
    assert_refused(&ours.run(&["delete-layer", &top_layer(ours, population.images[3])]), "layer is in use by an image");
    assert_refused(&ours.run(&["delete-layer", &top_layer(ours, population.images[2])]), "layer has children");
    let container = ours.list(&["container", "-j", "box"]).pop().expect("podman's container");
    assert_refused(&ours.run(&["delete-layer", text(&container, "layer")]), "layer is in use by a container");
    for (verb, words) in [
        ("delete-image", "image not known"),
        ("delete-container", "container not known"),
        ("delete-layer", "layer not known"),
    ] {
        let ended = ours.run(&[verb, "nothing-of-that-name"]);
        assert!(!ended.output.status.success(), "{verb}: {}", ended.describe());
        let known = [words, "identifier is not a"].iter().any(|words| ended.stderr().contains(words));
        assert!(known, "{verb} says that it isn't there: {}", ended.describe());
    }
    let after = (ours.records("images"), ours.records("containers"), ours.ids());
    assert_eq!(before, after, "refusals change nothing");
    engines.assert_whole("after refusals");
    Ok(())
}

fn deleted(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, population) = filled(scratch, driver)?;
    let ours = &engines.store;
    let layers = |name: &str| text(&ours.list(&["container", "-j", name])[0], "layer").to_owned();
    let tops = [layers("work"), layers("box")];

    ours.ok(&["delete-container", "work"]);
    assert_eq!(engines.container_ids(), [population.by_podman.as_str()], "buildah's container is gone");
    assert_eq!(engines.buildah(&["containers", "--quiet"]), "", "for buildah too");
    // Its owner keeps books of its own, and can close them.
    ours.ok(&["delete-container", "box"]);
    engines.podman(&["rm", "box"]);
    assert_eq!(engines.container_ids(), Vec::<String>::new(), "podman's container is gone");
    for layer in tops {
        assert!(!ours.layer_dir(&layer).exists(), "the container's layer {layer} is gone");
    }
    engines.assert_whole("after Lamina deleted the containers");

    let own = top_layer(ours, population.images[1]);
    let tried = ours.run(&["delete-image", "-t", population.images[1]]);
    assert!(said(&tried).contains(&own), "the test says what would go: {}", tried.describe());
    assert!(ours.ok(&["get-names", population.images[1]]).contains(population.images[1]), "a test deletes nothing");
    let gone = ours.run(&["delete-image", population.images[1]]);
    assert_eq!(said(&gone), said(&tried), "and that is what went");
    engines.assert_whole("after Lamina deleted an image");
    assert_eq!(engines.image_ids().len(), 3, "podman sees one image less");
    // An image that another was committed on leaves its layers to that one.
    let gone = ours.run(&["delete-image", population.images[2]]);
    assert!(gone.output.status.success() && said(&gone).is_empty(), "another image needs it: {}", gone.describe());
    engines.assert_whole("after Lamina deleted the image below another");
    engines.podman(&["rmi", population.images[0]]);
    let json = ours.ok(&["delete-image", "-j", population.images[3]]);
    let json: Value = serde_json::from_str(&json).expect("delete-image -j writes JSON");
    let layers = json[population.images[3]]["deleted-layers"].as_array().map_or(0, Vec::len);
    assert_eq!(layers, 2, "its own layer and the one below: {json}");
    assert_eq!(engines.image_ids(), Vec::<String>::new());
    assert_eq!(ours.ids(), Vec::<String>::new(), "every layer went with the last image that needed it");
    invariants::assert_clean(ours, "after all was deleted");
    Ok(())
}

/// What a call wrote to either stream.
fn said(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.output.stdout).into_owned() + &ended.stderr()
}

fn wiped(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, _) = filled(scratch, driver)?;
    let ours = &engines.store;
    ours.ok(&["wipe"]);
    for kind in ["layers", "images", "containers"] {
        assert_eq!(ours.records(kind), Vec::<Value>::new(), "no record of {kind} is left");
    }
    assert_eq!(engines.image_ids(), Vec::<String>::new());
    engines.podman(&["rm", "box"]);
    assert_eq!(engines.container_ids(), Vec::<String>::new());
    invariants::assert_clean(ours, "after wipe");
    engines.assert_whole("after wipe");
    Ok(())
}

fn exists(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (engines, population) = filled(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    let layer = top_layer(ours, population.images[0]);
    let all = [("-i", population.images[0]), ("-c", "box"), ("-l", layer.as_str())];
    for (_, name) in all {
        alike(ours, &peer, &["exists", name]);
        for (filter, of) in all {
            let ended = ours.run(&["exists", "-q", filter, name]);
            let expected = i32::from(of != name);
            assert_eq!(ended.output.status.code(), Some(expected), "{name} asked for by {filter}");
        }
    }
    assert_eq!(ours.run(&["exists", "nothing-of-that-name"]).output.status.code(), Some(1));
    Ok(())
}
