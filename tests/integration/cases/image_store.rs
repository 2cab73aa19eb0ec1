//! A separate store for images: what stands where, on two filesystems, and that nothing is lost between them.

use std::fs;
use std::path::Path;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Content, Form};
use integration::store::Store;
use integration::{Outcome, Scratch, Skip, archive};
use serde_json::Value;

use crate::images::text;

pub(crate) const CASES: &[Case] = &[
    case("image_store::on_two_disks::overlay", 120, |s| two_disks(s, "overlay")),
    case("image_store::on_two_disks::vfs", 120, |s| two_disks(s, "vfs")),
    case("image_store::on_two_disks::btrfs", 120, |s| two_disks(s, "btrfs")),
    case("image_store::gc_and_check_look_at_both::overlay", 120, |s| house(s, "overlay")),
    case("image_store::gc_and_check_look_at_both::vfs", 120, |s| house(s, "vfs")),
    case("image_store::gc_and_check_look_at_both::btrfs", 120, |s| house(s, "btrfs")),
];

/// The ids in a file of records; none where there is no file.
fn ids(file: &Path) -> Vec<String> {
    let Ok(bytes) = fs::read(file) else { return Vec::new() };
    let records: Value = serde_json::from_slice(&bytes).expect("a file of records is JSON");
    records.as_array().into_iter().flatten().map(|record| text(record, "id").to_owned()).collect()
}

/// The same store with and without an image store.
struct Both {
    plain: Engines,
    split: Engines,
    images: Store,
}

impl Both {
    fn new(scratch: &Scratch, driver: &'static str) -> Result<Self, Skip> {
        let plain = Engines::new(scratch, driver)?;
        if plain.store.is_peer() {
            return Err(Skip("Debian's version of the reference has no image store".to_owned()));
        }
        let disk = scratch.small_disk("disk", 1 << 30, if driver == "btrfs" { "btrfs" } else { "ext4" })?;
        let images = Store::at(&disk.join("images"), &plain.store.run, driver);
        let mut split = plain.clone();
        let root = images.root.display().to_string();
        split.store.flags.extend(["--image-store".to_owned(), root]);
        Ok(Both { plain, split, images })
    }

    /// Whether a layer has a place in the graph root, and in the image store.
    fn places(&self, layer: &str) -> (bool, bool) {
        (self.plain.store.layer_dir(layer).is_dir(), self.images.layer_dir(layer).is_dir())
    }
}

fn two_disks(scratch: &Scratch, driver: &'static str) -> Outcome {
    let both = Both::new(scratch, driver)?;
    let (graph, images) = (&both.plain.store, &both.images);
    let (first, second) = ("localhost/first:1", "localhost/second:1");
    let small = images::image(&both.plain, Content::Small, Form::Gzip)?;
    both.plain.load(&small, Form::Gzip, first);
    let ours = &both.split.store;
    let below = ids(&graph.layers_dir().join("layers.json"));
    assert_eq!(ours.ids().len(), below.len(), "what is in the graph root is seen");

    let other = archive::small(scratch.path(), "other", 5, 5000);
    both.plain.podman(&["import", "--quiet", other.to_str().expect("a printable path"), "localhost/other:1"]);
    let layout = both.plain.join("other");
    both.plain.save("localhost/other:1", &layout);
    both.plain.podman(&["rmi", "localhost/other:1"]);
    let id = both.split.load(&layout, Form::Plain, second);
    let layer = text(&ours.list(&["image", "-j", second])[0], "layer").to_owned();
    assert_eq!(
        ids(&images.layers_dir().join("layers.json")),
        std::slice::from_ref(&layer),
        "a layer of an image is there"
    );
    assert_eq!(ids(&graph.layers_dir().join("layers.json")), below, "and not here");
    assert_eq!(both.places(&layer), (false, true), "so is its tree");
    assert!(
        graph.layers_dir().join(format!("{layer}.tar-split.gz")).is_file(),
        "its tar-split stays in the graph root"
    );
    let home = |store: &Store| store.root.join(format!("{driver}-images"));
    assert_eq!(ids(&home(images).join("images.json")), std::slice::from_ref(&id), "the image is there");
    assert!(home(images).join(&id).join("manifest").is_file() && !home(graph).join(&id).exists(), "with its data");
    assert!(images.layers_dir().join("layers.lock").is_file() && home(images).join("images.lock").is_file());

    for name in [first, second] {
        let container = ours.ok(&["create-container", "-n", "con", name]);
        let record = ours.list(&["container", "-j", "con"]).pop().expect("a container");
        let own = text(&record, "layer").to_owned();
        assert_eq!(both.places(&own), (true, false), "a container's layer stands in the graph root");
        let file = graph.root.join(format!("{driver}-containers/containers.json"));
        assert_eq!(ids(&file), [container.lines().next().expect("an id")], "so does its record");
        let path = ours.mount(&own);
        archive::put(&path, "written", name);
        ours.unmount(&own);
        assert_eq!(ours.changes(&own), ["A /written"]);
        let refused = ours.run(&["delete-image", name]);
        assert!(refused.stderr().contains("image is in use by a container"), "{}", refused.describe());
        both.split.assert_checked("with a container");
        ours.ok(&["delete-container", "con"]);
        assert_eq!(both.places(&own), (false, false));
        let (saved, original) = (both.plain.join("saved.oci"), if name == first { &small } else { &layout });
        both.split.save(name, &saved);
        let (was, now) = (images::Layout::read(original), images::Layout::read(&saved));
        assert_eq!((was.diff_ids, was.config), (now.diff_ids, now.config), "it is saved as it was loaded");
        fs::remove_dir_all(saved).expect("clear");
    }
    let path = ours.ok(&["mount", "-r", second]);
    assert!(Path::new(path.trim_end()).is_dir(), "an image of the image store is mounted: {path}");
    ours.ok(&["unmount", second]);
    for name in [first, second] {
        ours.ok(&["delete-image", name]);
    }
    assert!(ours.ids().is_empty() && ours.list(&["images", "-j"]).is_empty(), "both images are deleted");
    assert_eq!(both.places(&layer), (false, false));
    assert!(!graph.layers_dir().join(format!("{layer}.tar-split.gz")).exists(), "and all that belonged to them");
    both.split.assert_checked("in the end");
    Ok(())
}

fn house(scratch: &Scratch, driver: &'static str) -> Outcome {
    let both = Both::new(scratch, driver)?;
    let ours = &both.split.store;
    let small = images::image(&both.plain, Content::Small, Form::Gzip)?;
    both.split.load(&small, Form::Gzip, "localhost/kept:1");
    let before = ours.ids();
    both.split.assert_checked("before");
    let orphan = integration::store::id("orphan");
    let layers = [both.plain.store.layer_dir(&orphan), both.images.layer_dir(&orphan)];
    let directory = both.images.root.join(format!("{driver}-images/{orphan}"));
    for place in layers.iter().chain([&directory]) {
        fs::create_dir_all(place.join("diff")).expect("make an orphan");
        let found = ours.run(&["check"]);
        assert!(found.stderr().contains(&orphan) || String::from_utf8_lossy(&found.output.stdout).contains(&orphan));
        ours.ok(&["gc"]);
        assert!(!place.exists(), "gc leaves {}", place.display());
        assert_eq!(ours.ids(), before, "and takes nothing else");
        both.split.assert_checked("after gc");
    }
    let top = text(&ours.list(&["image", "-j", "localhost/kept:1"])[0], "layer").to_owned();
    let own_files =
        if driver == "overlay" { both.images.layer_dir(&top).join("diff") } else { both.images.layer_dir(&top) };
    fs::write(own_files.join("damage"), "x").expect("add a file");
    assert!(!ours.run(&["check"]).output.status.success(), "damage in the image store is found");
    fs::remove_file(own_files.join("damage")).expect("take it away");
    both.split.assert_checked("in the end");
    Ok(())
}
