//! Images of additional stores: used and not changed, in each of the ways in which such a store is named.

use std::fs;
use std::path::Path;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Content, Form};
use integration::store::{Store, end};
use integration::{Outcome, Scratch, archive, invariants, tree};

use crate::images::text;

pub(crate) const CASES: &[Case] = &[
    case("additional::images_of_others_are_used::overlay", 180, |s| used(s, "overlay")),
    case("additional::images_of_others_are_used::vfs", 180, |s| used(s, "vfs")),
    case("additional::named_in_four_ways::overlay", 120, |s| named(s, "overlay")),
    case("additional::named_in_four_ways::vfs", 120, |s| named(s, "vfs")),
    case("additional::named_in_four_ways::btrfs", 120, |s| named(s, "btrfs")),
    case("additional::a_changed_image_is_pulled_up::overlay", 120, |s| pulled_up(s, "overlay")),
    case("additional::a_changed_image_is_pulled_up::vfs", 120, |s| pulled_up(s, "vfs")),
    case("additional::their_layers_are_not_loaded_again::overlay", 120, |s| loaded(s, "overlay")),
    case("additional::their_layers_are_not_loaded_again::vfs", 120, |s| loaded(s, "vfs")),
    case("additional::their_layers_are_not_loaded_again::btrfs", 120, |s| loaded(s, "btrfs")),
    case("additional::a_missing_one_is_named::vfs", 60, |s| missing(s, "vfs")),
    case("additional::a_missing_one_is_named::btrfs", 60, |s| missing(s, "btrfs")),
];

/// The engines on a root of their own, over whose images `below` they can be made to look.
pub(crate) fn above(below: &Engines, driver: &'static str) -> Engines {
    let mut above = below.beside("o", driver);
    let option = format!("{driver}.imagestore={}", below.store.root.display());
    above.store.flags.extend(["--storage-opt".to_owned(), option]);
    above
}

/// What podman says on a root with an additional store.
#[track_caller]
fn podman(engines: &Engines, args: &[&str]) -> String {
    let mut command = engines.podman_command();
    command.args(&engines.store.flags).args(args);
    let ended = end(command);
    assert!(ended.output.status.success(), "a call failed: {}", ended.describe());
    String::from_utf8_lossy(&ended.output.stdout).trim_end().to_owned()
}

/// What is in a store, but for what a look at it may bring: locks, which the reference makes.
pub(crate) fn content(store: &Store) -> Vec<String> {
    let all = tree::listing(&store.root);
    all.into_iter().filter(|line| !line.contains(".lock")).collect()
}

fn used(scratch: &Scratch, driver: &'static str) -> Outcome {
    let below = Engines::new(scratch, driver)?;
    let population = images::populate(&below)?;
    let before = content(&below.store);
    let above = above(&below, driver);
    let ours = &above.store;
    assert_eq!(ours.list(&["images", "-j"]), below.store.list(&["images", "-j"]), "their images are listed");
    assert!(ours.list(&["containers", "-j"]).is_empty(), "their containers are not");
    for name in population.images {
        let image = ours.list(&["image", "-j", name]).pop().expect("an image");
        let (id, layer, digest) = (text(&image, "id"), text(&image, "layer"), text(&image, "digest"));
        assert!(ours.ok(&["image", &id[..20]]).ends_with("Read Only: true\n"), "{name} is for reading only");
        assert!(ours.ok(&["layer", layer]).ends_with("Read Only: true\n"), "so is its layer");
        assert!(ours.ok(&["images-by-digest", "-q", digest]).contains(id), "{name} is found by digest");
        assert_eq!(ours.diff(layer), below.store.diff(layer), "{name} has the same diff");
        for verb in ["delete-layer", "delete-image", "delete"] {
            let refused = ours.run(&[verb, if verb == "delete-layer" { layer } else { name }]);
            let words = "called a write method on a read-only store";
            assert!(refused.stderr().contains(words), "{verb} of {name}: {}", refused.describe());
        }
        written(&above, name, id);
    }
    assert_eq!(content(&below.store), before, "nothing was changed there");
    above.assert_checked("after the work");
    below.assert_checked("after the work of others");
    Ok(())
}

/// A container on an image of theirs: made, mounted, written, compared, seen by podman, deleted.
#[track_caller]
fn written(above: &Engines, name: &str, id: &str) {
    let ours = &above.store;
    let container = ours.ok(&["create-container", "-n", "con", name]).lines().next().expect("an id").to_owned();
    let layer = text(&ours.list(&["container", "-j", "con"])[0], "layer").to_owned();
    let path = ours.mount(&layer);
    let first = fs::read_dir(&path).expect("list").flatten().find(|entry| entry.path().is_file());
    let gone = first.map(|entry| entry.file_name().into_string().expect("a printable name"));
    if let Some(gone) = &gone {
        fs::remove_file(path.join(gone)).expect("remove a file of theirs");
    }
    archive::put(&path, "of-ours", name);
    ours.unmount(&layer);
    let mut expected = vec!["A /of-ours".to_owned()];
    expected.extend(gone.iter().map(|gone| format!("D /{gone}")));
    assert_eq!(ours.changes(&layer), expected, "what was written, compared with their layer");
    let diff = ours.diff(&layer);
    let has = |name: &str| diff.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(has("of-ours") && gone.is_none_or(|gone| has(&format!(".wh.{gone}"))), "the diff has it");
    assert_eq!(podman(above, &["image", "inspect", "--format", "{{.Id}}", name]), id, "podman sees the image");
    assert_eq!(podman(above, &["ps", "--all", "--external", "--quiet", "--no-trunc"]), container, "and the container");
    ours.ok(&["delete-container", "con"]);
    let left = invariants::leftovers(ours, &[]);
    assert!(left.is_empty(), "a container leaves {left:?}");
}

fn named(scratch: &Scratch, driver: &'static str) -> Outcome {
    let below = Engines::new(scratch, driver)?;
    let layout = images::image(&below, Content::Small, Form::Gzip)?;
    let id = below.load(&layout, Form::Gzip, "localhost/named:1");
    let above = above(&below, driver);
    let lists = |mut command: std::process::Command| {
        let ended = end(command_line(&mut command));
        String::from_utf8_lossy(&ended.output.stdout).trim_end() == id
    };
    let plain = Store { flags: Vec::new(), ..above.store.clone() };
    let place = below.store.root.display();
    assert!(!lists(plain.command()), "without a word nothing is listed");
    assert!(lists(above.store.command()), "by --storage-opt");
    let mut by_variable = plain.command();
    by_variable.env("STORAGE_OPTS", format!("{driver}.imagestore={place}"));
    assert!(lists(by_variable), "by STORAGE_OPTS");
    for key in ["additionalimagestores", "additionalimagestores "] {
        let file = above.join("named.conf");
        let (root, run) = (plain.root.display(), plain.run.display());
        let text = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{root}\"\nrunroot = \"{run}\"\n[storage.options]\n{key} = \
             [\"{place}\"]\n"
        );
        fs::write(&file, text).expect("write a configuration");
        let mut by_file = std::process::Command::new(&plain.bin);
        by_file.env("CONTAINERS_STORAGE_CONF", &file);
        assert!(lists(by_file), "by {key} in storage.conf");
    }
    let mut own = plain.command();
    own.args(["--storage-opt", &format!("{driver}.imagestore={}", plain.root.display())]);
    above.store.ok(&["create-image", "-n", "own", "-i", &id.replace('0', "1"), ""]);
    let listed = end(command_line(&mut own));
    assert_eq!(String::from_utf8_lossy(&listed.output.stdout).lines().count(), 1, "what is named twice is there once");
    Ok(())
}

fn command_line(command: &mut std::process::Command) -> std::process::Command {
    command.args(["images", "-q"]);
    std::mem::replace(command, std::process::Command::new("true"))
}

fn pulled_up(scratch: &Scratch, driver: &'static str) -> Outcome {
    let below = Engines::new(scratch, driver)?;
    let population = images::populate(&below)?;
    let (name, before) = (population.images[1], content(&below.store));
    let above = above(&below, driver);
    let ours = &above.store;
    let theirs = below.store.list(&["image", "-j", name]).pop().expect("an image");
    ours.ok(&["add-names", "-n", "localhost/mine:1", name]);
    let mine = ours.records("images").pop().expect("the image is ours now");
    for key in ["id", "digest", "layer", "metadata", "big-data-sizes", "big-data-digests", "created"] {
        assert_eq!(mine[key], theirs[key], "{key} is as it was");
    }
    assert_eq!(mine["names"], serde_json::json!(["localhost/mine:1", name]));
    let history: Vec<String> = serde_json::from_value(mine["names-history"].clone()).expect("names");
    assert!(history.contains(&name.to_owned()), "the history goes on: {history:?}");
    for key in theirs["big-data-names"].as_array().into_iter().flatten().filter_map(|key| key.as_str()) {
        let data = |store: &Store| store.ok(&["get-image-data", "localhost/mine:1", key]);
        assert_eq!(data(ours), below.store.ok(&["get-image-data", name, key]), "the data {key}");
    }
    let layers = ours.list(&["layers", "-j"]);
    assert_eq!(layers, below.store.list(&["layers", "-j"]), "the layers stay where they are");
    assert_eq!(content(&below.store), before, "nothing was changed there");
    written(&above, "localhost/mine:1", text(&mine, "id"));
    above.assert_checked("after an image was pulled up");
    ours.ok(&["delete-image", "localhost/mine:1"]);
    assert!(ours.records("images").is_empty());
    assert_eq!(ours.list(&["image", "-j", name]), [theirs], "theirs is seen again");
    Ok(())
}

fn loaded(scratch: &Scratch, driver: &'static str) -> Outcome {
    let below = Engines::new(scratch, driver)?;
    let layout = images::image(&below, Content::Small, Form::Gzip)?;
    let id = below.load(&layout, Form::Gzip, "localhost/there:1");
    let above = above(&below, driver);
    assert_eq!(above.load(&layout, Form::Gzip, "localhost/here:1"), id);
    assert!(above.store.root.join(format!("{driver}-images/images.json")).exists(), "the name is ours");
    let layers = above.store.root.join(format!("{driver}-layers/layers.json"));
    let none = fs::read_to_string(layers).map_or(true, |text| text == "[]");
    assert!(none, "no layer was made a second time");
    let saved = above.join("saved");
    above.save("localhost/here:1", &saved);
    let (was, now) = (images::Layout::read(&layout), images::Layout::read(&saved));
    assert_eq!((was.diff_ids, was.config), (now.diff_ids, now.config), "it is saved as it was loaded");
    above.assert_checked("after a load");
    Ok(())
}

fn missing(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    store.ok(&["create-layer"]);
    for (place, is_there) in [(scratch.join("nowhere"), false), (scratch.make("empty"), true)] {
        let option = format!("{driver}.imagestore={}", place.display());
        let with = Store { flags: vec!["--storage-opt".to_owned(), option], ..store.clone() };
        let ended = with.run(&["layers", "-q"]);
        if is_there || store.is_peer() {
            assert!(ended.output.status.success(), "a store with nothing in it: {}", ended.describe());
            assert!(tree::listing(&place).is_empty() || store.is_peer(), "nothing is made there");
        } else {
            let named = ended.stderr().contains(place.to_str().expect("a printable path"));
            assert!(!ended.output.status.success() && named, "the store is named: {}", ended.describe());
        }
    }
    assert_eq!(store.ids().len(), 1, "the own store is as it was");
    assert!(!Path::new(&scratch.join("nowhere")).exists(), "nothing is made there");
    Ok(())
}
