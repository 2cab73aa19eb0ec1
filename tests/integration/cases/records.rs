//! The records as data: what one side writes, the other reads and writes again without losing anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use integration::case::{Case, Skip, case};
use integration::engines::Engines;
use integration::store::{Store, id};
use integration::{Outcome, Scratch, archive, images, invariants};
use serde_json::{Value, json};

use crate::images::text;

pub(crate) const CASES: &[Case] = &[
    case("records::of_lamina_written_again_by_the_reference::overlay", 120, |s| by_the_reference(s, "overlay")),
    case("records::of_lamina_written_again_by_the_reference::vfs", 120, |s| by_the_reference(s, "vfs")),
    case("records::of_lamina_written_again_by_the_reference::btrfs", 120, |s| by_the_reference(s, "btrfs")),
    case("records::of_others_written_again_by_lamina::overlay", 120, |s| by_lamina(s, "overlay")),
    case("records::of_others_written_again_by_lamina::vfs", 120, |s| by_lamina(s, "vfs")),
    case("records::of_others_written_again_by_lamina::btrfs", 120, |s| by_lamina(s, "btrfs")),
    case("records::unknown_fields_stay::overlay", 120, |s| unknown_fields(s, "overlay")),
    case("records::unknown_fields_stay::vfs", 120, |s| unknown_fields(s, "vfs")),
    case("records::unknown_fields_stay::btrfs", 120, |s| unknown_fields(s, "btrfs")),
];

const KINDS: [&str; 3] = ["layers", "images", "containers"];

fn all(store: &Store) -> BTreeMap<&'static str, Vec<Value>> {
    KINDS.iter().map(|kind| (*kind, store.records(kind))).collect()
}

/// The whole files, to see what else than data differs.
fn texts(store: &Store) -> BTreeMap<&'static str, String> {
    let read = |kind| fs::read_to_string(file(store, kind)).expect("read a file of records");
    KINDS.iter().map(|kind| (*kind, read(*kind))).collect()
}

fn file(store: &Store, kind: &str) -> PathBuf {
    store.root.join(format!("{}-{kind}", store.driver)).join(format!("{kind}.json"))
}

/// One of everything that a record can hold, by the command under test.
fn fill(store: &Store, scratch: &Scratch) {
    let (base, top) = (id("base"), id("top"));
    store.import(&base, None, &archive::small(scratch.path(), "small", 9, 300));
    store.create(&top, Some(&base));
    store.ok(&["set-names", "-n", "a layer's name", "-n", "<&>\u{2028} ünïcode", &top]);
    store.ok(&["set-metadata", "-m", "{\"of\":\"a <layer> & more\"}", &top]);
    let manifest = scratch.join("manifest");
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": format!("sha256:{}", archive::sha256(b"{}"))});
    let text = json!({"schemaVersion": 2, "config": config, "layers": []}).to_string();
    fs::write(&manifest, &text).expect("write a manifest");
    let digest = format!("sha256:{}", archive::sha256(text.as_bytes()));
    let image = id("image");
    store.ok(&[
        "create-image",
        "-i",
        &image,
        "-n",
        "localhost/made:1",
        "-n",
        "localhost/made:2",
        "-d",
        &digest,
        "-m",
        "{\"of\":\"an <image> & more\"}",
        &top,
    ]);
    store.ok(&["create-image", "-i", &id("bare"), &base]);
    let data = manifest.to_str().expect("a printable path");
    for key in ["manifest", &format!("manifest-{digest}"), "a Key/with ünïcode", "plain"] {
        store.ok(&["set-image-data", "-f", data, &image, key]);
    }
    store.ok(&["set-names", "-n", "localhost/made:3", &image]);
    let container = id("container");
    store.ok(&["create-container", "-i", &container, "-n", "made", "-m", "{\"a\":\"b\"}", "localhost/made:3"]);
    store.ok(&["set-container-data", "-f", data, &container, "Some Key"]);
    store.ok(&["create-container", "-i", &id("bare container"), ""]);
    store.ok(&["set-layer-data", "-f", data, &top, "of-a-layer"]);
}

/// Makes the store write each of its files again, by changes that end where they began.
fn rewrite(store: &Store) {
    let spare = id("spare");
    store.create(&spare, None);
    store.ok(&["create-image", "-i", &id("spare image"), "-n", "localhost/spare:1", &spare]);
    store.ok(&["create-container", "-i", &id("spare container"), "localhost/spare:1"]);
    store.ok(&["delete-container", &id("spare container")]);
    store.ok(&["delete-image", &id("spare image")]);
}

fn by_the_reference(scratch: &Scratch, driver: &'static str) -> Outcome {
    let ours = Store::new(scratch, "store", driver);
    let peer = ours.peer()?;
    fill(&ours, scratch);
    let (before, bytes) = (all(&ours), texts(&ours));
    rewrite(&peer);
    for kind in KINDS {
        assert_eq!(before[kind], peer.records(kind), "the reference wrote the same {kind} again");
        assert_eq!(bytes[kind], texts(&peer)[kind], "and Lamina writes {kind} as the reference does, byte for byte");
    }
    invariants::assert_clean(&ours, "after the reference wrote");
    Ok(())
}

fn by_lamina(scratch: &Scratch, driver: &'static str) -> Outcome {
    let engines = Engines::new(scratch, driver)?;
    images::populate(&engines)?;
    let peer = engines.store.peer()?;
    fill(&peer, scratch);
    let (before, bytes) = (all(&peer), texts(&peer));
    rewrite(&engines.store);
    for kind in KINDS {
        assert_eq!(before[kind], engines.store.records(kind), "Lamina wrote the same {kind} again");
        assert_eq!(bytes[kind], texts(&peer)[kind], "and byte for byte what podman, buildah and the reference had");
    }
    assert!(engines.container_ids().contains(&id("container")), "podman reads them");
    Ok(())
}

/// Puts what no version knows into every record, as a later version of the reference might.
fn extend(store: &Store) {
    for kind in KINDS {
        let mut records: Value = serde_json::from_str(&texts(store)[kind]).expect("a file of records is JSON");
        for (number, record) in records.as_array_mut().into_iter().flatten().enumerate() {
            record["from-the-future"] = json!({"number": number, "list": [1, "two", null, 3.5, {"deep": true}]});
            record["another"] = json!(9_007_199_254_740_993_u64);
            record["flags"]["of-the-future"] = json!({"a": [number]});
        }
        fs::write(file(store, kind), records.to_string()).expect("write a file of records");
    }
}

fn unknown_fields(scratch: &Scratch, driver: &'static str) -> Outcome {
    let store = Store::new(scratch, "store", driver);
    if store.is_peer() {
        return Err(Skip("the reference, which stands in, loses fields that it doesn't know".to_owned()));
    }
    fill(&store, scratch);
    extend(&store);
    let before = all(&store);
    rewrite(&store);
    assert_eq!(before, all(&store), "records that nothing happened to are written as they were");
    for (kind, which) in [("layers", id("top")), ("images", id("image")), ("containers", id("container"))] {
        store.ok(&["set-names", "-n", &format!("localhost/renamed-{kind}:1"), &which]);
        store.ok(&["set-metadata", "-m", "renamed", &which]);
        for (old, new) in before[kind].iter().zip(store.records(kind)) {
            let mut expected = old.clone();
            if text(old, "id") == which {
                expected["names"] = json!([format!("localhost/renamed-{kind}:1")]);
                expected["metadata"] = json!("renamed");
                if kind == "images" {
                    expected["names-history"] = new["names-history"].clone();
                }
            }
            assert_eq!(new, expected, "only what was asked for changes in {kind}");
        }
    }
    let history = store.records("images").iter().find(|record| text(record, "id") == id("image")).cloned();
    let history = history.expect("the image")["names-history"].as_array().cloned().unwrap_or_default();
    assert_eq!(history.first(), Some(&json!("localhost/renamed-images:1")), "the newest name comes first");
    assert!(history.contains(&json!("localhost/made:1")), "older names are kept: {history:?}");
    invariants::assert_clean(&store, "after records with unknown fields were written again");
    Ok(())
}
