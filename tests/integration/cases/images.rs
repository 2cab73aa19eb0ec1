//! Images that podman, buildah and skopeo made, as Lamina shows them.

use std::path::Path;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Content, Form};
use integration::store::{Ended, Store};
use integration::{Outcome, Scratch, archive, invariants, tree};
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    case("images::listed_as_recorded::overlay", 120, |s| listed(s, "overlay")),
    case("images::listed_as_recorded::vfs", 120, |s| listed(s, "vfs")),
    case("images::listed_as_recorded::btrfs", 120, |s| listed(s, "btrfs")),
    case("images::inspected_as_the_reference_does::overlay", 120, |s| inspected(s, "overlay")),
    case("images::inspected_as_the_reference_does::vfs", 120, |s| inspected(s, "vfs")),
    case("images::inspected_as_the_reference_does::btrfs", 120, |s| inspected(s, "btrfs")),
    case("images::mounted_and_diffed::overlay", 120, |s| mounted(s, "overlay")),
    case("images::mounted_and_diffed::vfs", 120, |s| mounted(s, "vfs")),
    case("images::mounted_and_diffed::btrfs", 120, |s| mounted(s, "btrfs")),
    case("images::found_by_name_id_and_digest::overlay", 120, |s| found(s, "overlay")),
    case("images::found_by_name_id_and_digest::vfs", 120, |s| found(s, "vfs")),
    case("images::found_by_name_id_and_digest::btrfs", 120, |s| found(s, "btrfs")),
];

/// Runs a call by Lamina and by the reference, which must both succeed or both fail, and write the same bytes. (Lamina's
/// exit codes say more.)
#[track_caller]
pub(crate) fn alike(ours: &Store, peer: &Store, args: &[&str]) -> Ended {
    let (left, right) = (ours.run(args), peer.run(args));
    let ends_alike = left.output.status.success() == right.output.status.success();
    assert!(
        ends_alike && left.output.stdout == right.output.stdout,
        "Lamina and the reference differ:\n{}\n{}",
        left.describe(),
        right.describe()
    );
    left
}

/// The same for a call that succeeds and writes JSON, which is compared as data.
#[track_caller]
pub(crate) fn alike_as_data(ours: &Store, peer: &Store, args: &[&str]) -> Vec<Value> {
    let (left, right) = (ours.list(args), peer.list(args));
    assert_eq!(left, right, "Lamina and the reference differ in {args:?}");
    left
}

/// The same for a call that shows one object, which must be `record`.
#[track_caller]
pub(crate) fn shown_alike(ours: &Store, peer: &Store, args: &[&str], record: &Value) {
    let shown = alike_as_data(ours, peer, args);
    assert_eq!(shown.iter().collect::<Vec<_>>(), [record], "{args:?} shows the record");
}

pub(crate) fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or_else(|| panic!("{key} of {record} is no text"))
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn listed(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    let population = images::populate(&engines)?;
    let listed = alike_as_data(ours, &peer, &["images", "-j"]);
    assert_eq!(listed, ours.records("images"), "images -j shows the records field by field");
    let ids: Vec<String> = listed.iter().map(|record| text(record, "id").to_owned()).collect();
    assert_eq!(ids, engines.image_ids(), "podman sees the same images");
    let names: Vec<String> = listed.iter().flat_map(|record| strings(&record["names"])).collect();
    for name in population.images {
        assert!(names.contains(&name.to_owned()), "{name} is listed among {names:?}");
    }
    alike(ours, &peer, &["images"]);
    alike(ours, &peer, &["images", "-q"]);
    alike(ours, &peer, &["layers"]);
    engines.assert_checked("after podman, buildah and skopeo filled the store");
    engines.assert_whole("after Lamina looked");
    Ok(())
}

fn inspected(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    images::populate(&engines)?;
    for record in ours.records("images") {
        let id = text(&record, "id");
        shown_alike(ours, &peer, &["image", "-j", id], &record);
        alike(ours, &peer, &["image", id]);
        alike(ours, &peer, &["get-names", id]);
        assert!(ours.ok(&["metadata", id]).contains(record["metadata"].as_str().unwrap_or_default()), "of {id}");
        alike(ours, &peer, &["list-image-data", id]);
        let keys = strings(&record["big-data-names"]);
        assert!(keys.len() >= 3, "manifest twice and configuration at least: {keys:?}");
        for key in &keys {
            let data = alike(ours, &peer, &["get-image-data", id, key]).output.stdout;
            let size = ours.ok(&["get-image-data-size", id, key]);
            assert_eq!(size.trim_end(), record["big-data-sizes"][key].to_string(), "size of {key}");
            assert_eq!(size.trim_end(), data.len().to_string(), "size of {key}");
            let digest = ours.ok(&["get-image-data-digest", id, key]);
            assert_eq!(digest.trim_end(), text(&record["big-data-digests"], key), "digest of {key}");
            assert_eq!(digest.trim_end(), format!("sha256:{}", archive::sha256(&data)), "digest of {key}");
        }
    }
    directories(ours);
    Ok(())
}

/// Debian's version of the reference's command has no verb for this.
fn directories(store: &Store) {
    if store.is_peer() {
        return;
    }
    let record = store.records("images").pop().expect("an image");
    let images = format!("{}-images", store.driver);
    for (verb, root) in [("get-image-dir", &store.root), ("get-image-run-dir", &store.run)] {
        let place = root.join(&images).join(text(&record, "id")).join("userdata");
        assert_eq!(store.ok(&[verb, text(&record, "id")]).trim_end(), place.to_str().expect("a printable path"));
        assert!(place.is_dir(), "{verb} makes the directory");
        let unknown = store.run(&[verb, "localhost/nowhere:1"]);
        assert!(!unknown.output.status.success(), "{verb} of what isn't there: {}", unknown.describe());
        assert!(!root.join(&images).join("localhost").exists(), "{verb} makes nothing for what isn't there");
    }
}

fn mounted(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    let population = images::populate(&engines)?;
    for name in population.images {
        let by_podman = tree::read(Path::new(&engines.podman(&["image", "mount", name])));
        engines.podman(&["image", "unmount", name]);
        let by_us = tree::read(&ours.mount_image(name));
        ours.unmount(name);
        tree::assert_same_below_root(&format!("{name} as Lamina and as podman mount it"), &by_us, &by_podman);
        assert_eq!(ours.counts(), [], "{name} is released");
    }
    for record in ours.records("layers") {
        let id = text(&record, "id");
        assert_same_changes(ours, &peer, &record);
        let diff = |store: &Store, who: &str| {
            let file = scratch.join(format!("{who}-{id}.tar"));
            store.diff_to(id, &file);
            file
        };
        let (left, right) = (diff(ours, "ours"), diff(&peer, "theirs"));
        if let Some(known) = record["diff-digest"].as_str() {
            let digest = tree::digest_of(&left);
            assert_eq!(format!("sha256:{digest}"), known, "the diff of {id} is the archive that came in");
            assert_eq!(digest, tree::digest_of(&right), "Lamina's and the reference's diff of {id}");
            assert_eq!(ours.ok(&["diffsize", id]), peer.ok(&["diffsize", id]), "size of {id}");
        } else {
            // Nobody wrote down how that of a container is packed, only what is in it.
            assert_same_content(&left, &right);
        }
    }
    invariants::assert_clean(ours, "after all was mounted and diffed");
    engines.assert_whole("after Lamina mounted and diffed");
    Ok(())
}

/// A file that got one more name may be in the list, so that the diff has a link and not a second copy.
const ONE_MORE_NAME: &str = "C /many/99";

#[track_caller]
fn assert_same_changes(ours: &Store, peer: &Store, record: &Value) {
    let id = text(record, "id");
    let expected = match record["parent"].as_str() {
        // Debian's version of the reference calls a directory of overlay that was made anew deleted, though it is there.
        Some(parent) if ours.driver == "overlay" && !ours.is_peer() => {
            tree::changes(&mounted_tree(ours, parent), &mounted_tree(ours, id))
        }
        _ => peer.changes(id),
    };
    let without = |lines: Vec<String>| lines.into_iter().filter(|line| line != ONE_MORE_NAME).collect::<Vec<_>>();
    let (found, expected) = (without(ours.changes(id)), without(expected));
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (more, less) = (only(&found, &expected), only(&expected, &found));
    assert!(more.is_empty() && less.is_empty(), "changes of {id}: {more:?} too many, {less:?} missing");
}

fn mounted_tree(store: &Store, layer: &str) -> tree::Tree {
    let tree = tree::read(&store.mount(layer));
    store.unmount(layer);
    tree
}

fn assert_same_content(left: &Path, right: &Path) {
    let trees = [left, right].map(|archive| {
        let dir = archive.with_extension("tree");
        archive::unpack(archive, &dir);
        let mut tree = tree::read(&dir);
        // The reference packs whole seconds.
        for entry in tree.values_mut() {
            entry.mtime -= entry.mtime.rem_euclid(1_000_000_000);
        }
        tree
    });
    tree::assert_same_but_directory_times("what Lamina's and the reference's diff hold", &trees[0], &trees[1]);
}

fn found(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    let (ours, peer) = (&engines.store, engines.store.peer()?);
    let layout = images::image(&engines, Content::Small, Form::Gzip)?;
    engines.copy(&images::transport(&layout, Form::Gzip), &engines.reference("localhost/here:1"));
    engines.podman(&["tag", "localhost/here:1", "localhost/there:2"]);
    let record = ours.records("images").pop().expect("an image");
    let (id, digest) = (text(&record, "id"), text(&record, "digest"));
    for name in ["localhost/here:1", "localhost/there:2", id, &id[..12]] {
        shown_alike(ours, &peer, &["image", "-j", name], &record);
    }
    shown_alike(ours, &peer, &["images-by-digest", "-j", digest], &record);
    // A name that Lamina moves, adds or takes away is podman's at once.
    ours.ok(&["add-names", "-n", "localhost/added:3", id]);
    assert_eq!(text(&engines.inspect_image("localhost/added:3"), "Id"), id);
    if ours.is_peer() {
        return Ok(()); // Debian's version of the reference's command has no `remove-names`
    }
    ours.ok(&["remove-names", "-n", "localhost/there:2", id]);
    let gone = engines.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(!gone.contains("localhost/there:2"), "podman still lists a name that was removed: {gone}");
    ours.ok(&["set-names", "-n", "localhost/only:4", id]);
    assert_eq!(engines.podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]), "localhost/only:4");
    engines.podman(&["tag", "localhost/only:4", "localhost/again:5"]);
    assert!(ours.ok(&["get-names", id]).contains("localhost/again:5"), "Lamina sees a name that podman gave");
    let unknown = ours.run(&["image", "localhost/nowhere:1"]);
    assert!(!unknown.output.status.success(), "an unknown image: {}", unknown.describe());
    Ok(())
}
