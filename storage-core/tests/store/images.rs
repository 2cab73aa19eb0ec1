//! Names, data and deletion of images.

use std::io::Read;

use storage_core::Kind;
use storage_core::store::{Deletion, ItemKind, NameChange, NewData, NewImage};

use crate::{Bench, id, owned, quiet};

fn names_and_history(bench: &Bench, image: &str) -> (Vec<String>, Vec<String>) {
    let sight = bench.store.sight().expect("sight");
    let image = sight.image(image, "test").expect("the image").1;
    (image.names.clone(), image.names_history.clone())
}

#[test]
fn every_new_list_of_names_goes_to_the_front_of_the_history_one_after_the_other() {
    let mut bench = Bench::new();
    bench.image("img", &["one", "uno"], "").expect("image");
    bench.image("other", &["due"], "").expect("image");
    for (change, names, now, history) in [
        (NameChange::Add, &["two", "due"][..], &["two", "due", "one", "uno"][..], &["uno", "one", "due", "two"][..]),
        (NameChange::Set, &["b", "a", "one"], &["b", "a", "one"], &["one", "a", "b", "uno", "due", "two"]),
        (NameChange::Remove, &["a", "nosuch"], &["b", "one"], &["one", "b", "a", "uno", "due", "two"]),
        (NameChange::Set, &[], &[], &["one", "b", "a", "uno", "due", "two"]),
    ] {
        bench.store.change_names(&mut bench.key, "img", change, &owned(names)).expect("change names");
        assert_eq!(names_and_history(&bench, "img"), (owned(now), owned(history)), "{change:?} {names:?}");
    }
    assert_eq!(names_and_history(&bench, "other"), (vec![], owned(&["due"])), "the name was taken, its memory stays");
}

#[test]
fn an_image_is_found_by_its_digest_and_by_those_of_its_manifests() {
    let mut bench = Bench::new();
    let digest = format!("sha256:{}", "c".repeat(64));
    let data = |name: &str, text: &str| NewData { name: name.to_owned(), bytes: text.into() };
    let new = NewImage {
        id: Some(id("img")),
        digest: digest.clone(),
        data: vec![data("manifest-list", "list"), data("manifest", "one"), data("config", "{}")],
        ..NewImage::default()
    };
    let image = bench.store.create_image(&mut bench.key, &new).expect("image");
    let of = |name: &str| image.big_data_digests.get(name).map(String::as_str).expect("a digest");
    assert_eq!(image.digests(), [&digest, of("manifest"), of("manifest-list")]);
    assert_eq!(image.big_data_names, ["manifest-list", "manifest", "config"], "in the order given");
    assert_eq!(image.big_data_sizes.values().sum::<i64>(), 9);

    bench.image("bare", &[], "").expect("image");
    let set = |bench: &mut Bench, name: &str| {
        bench.store.set_data(&mut bench.key, ItemKind::Image, "bare", name, &mut "text".as_bytes()).expect("set");
        bench.store.sight().expect("sight").image("bare", "test").expect("there").1.digest.clone()
    };
    assert_eq!(set(&mut bench, "config"), "");
    let own = set(&mut bench, "manifest");
    assert!(own.starts_with("sha256:"), "the first manifest gives the image its digest: {own:?}");
}

#[test]
fn layers_go_with_an_image_as_far_as_nobody_else_needs_them() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "mid", "top-a"]);
    bench.chain(Some("mid"), &["top-b", "over-b"]);
    bench.chain(Some("base"), &["child"]);
    bench.image("a", &[], "top-a").expect("image");
    bench.image("b", &[], "over-b").expect("image");
    bench.image("c", &[], "top-b").expect("image");
    bench.image("none", &[], "").expect("image");
    bench.container("con", "c").expect("container");
    let mut delete = |image: &str, deletion| bench.store.delete_image(&mut bench.key, image, deletion, &quiet());
    for (image, goes) in [
        ("none", &[][..]),
        // Down to what image c stands on.
        ("b", &["over-b"]),
        // Down to what top-b needs.
        ("a", &["top-a"]),
    ] {
        let pretended = delete(image, Deletion::Pretended).expect("a trial");
        assert_eq!(pretended, goes, "{image}");
        assert_eq!(delete(image, Deletion::Real).expect("delete"), pretended, "a trial tells what goes");
        assert_eq!(delete(image, Deletion::Pretended).map_err(|error| error.kind()), Err(Kind::ImageUnknown));
    }
    for deletion in [Deletion::Pretended, Deletion::RecordOnly, Deletion::Real] {
        let refused = delete("c", deletion).map_err(|error| error.kind());
        assert_eq!(refused, Err(Kind::ImageUsedByContainer), "{deletion:?}");
    }
    bench.store.delete_container(&mut bench.key, "con", &quiet()).expect("delete");
    let gone = bench.store.delete_image(&mut bench.key, "c", Deletion::Real, &quiet()).expect("delete");
    assert_eq!(gone, ["top-b", "mid"], "from the top down; the base has another child");
    assert_eq!((bench.layers(), bench.places()), (owned(&["base", "child"]), owned(&["base", "child"])));
}

#[test]
fn copies_with_other_owners_go_first() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "top"]);
    bench.chain(Some("base"), &["copy"]);
    bench.image("img", &[], "top").expect("image");
    let path = bench.graph("vfs-images/images.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let with_copy = text.replace(r#""layer":"top","#, r#""layer":"top","mapped-layers":["copy"],"#);
    assert_ne!(with_copy, text);
    std::fs::write(&path, with_copy).expect("write");
    bench = bench.reopened();
    let gone = bench.store.delete_image(&mut bench.key, "img", Deletion::Real, &quiet()).expect("delete");
    assert_eq!(gone, ["copy", "top", "base"]);
    assert!(bench.places().is_empty());
}

#[test]
fn a_lease_keeps_layers_and_what_they_stand_on() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "mid", "top"]);
    bench.image("img", &[], "top").expect("image");
    let mut lease = bench.store.lease().expect("lease");
    assert_eq!(lease.keep(&mut bench.key, "mid").expect("keep"), "mid");
    let unknown = lease.keep(&mut bench.key, "nosuch").map_err(|error| error.kind());
    assert_eq!(unknown, Err(Kind::LayerUnknown));
    let gone = bench.store.delete_image(&mut bench.key, "img", Deletion::Real, &quiet()).expect("delete");
    assert_eq!(gone, ["top"]);
    let refused = bench.store.delete_layer(&mut bench.key, "mid", &quiet()).map_err(|error| error.kind());
    assert_eq!(refused, Err(Kind::Busy));
    drop(lease);
    bench.store.delete_layer(&mut bench.key, "mid", &quiet()).expect("nobody leases it any more");
    assert_eq!(bench.layers(), ["base"]);
}

#[test]
fn an_image_that_can_not_be_made_leaves_nothing() {
    let mut bench = Bench::new();
    bench.chain(None, &["base"]);
    bench.image("img", &["name"], "base").expect("image");
    let before = std::fs::read(bench.graph("vfs-images/images.json")).expect("read");
    let wanted = |image: &str, name: &str, layer: &str, keys: &[&str]| NewImage {
        id: Some(id(image)),
        names: owned(&[name]),
        layer: Some(layer.to_owned()),
        data: keys.iter().map(|key| NewData { name: (*key).to_owned(), bytes: vec![1] }).collect(),
        ..NewImage::default()
    };
    for (new, kind) in [
        (wanted("img", "free", "base", &["k"]), Kind::DuplicateId),
        (wanted("new", "name", "base", &["k"]), Kind::DuplicateName),
        (wanted("new", "free", "nosuch", &["k"]), Kind::LayerUnknown),
        (wanted("new", "free", "base", &["k", "k"]), Kind::InvalidBigDataName),
        (wanted("new", "free", "base", &["userdata"]), Kind::InvalidBigDataName),
        (NewImage { digest: "sha256:short".to_owned(), ..wanted("new", "free", "base", &[]) }, Kind::Usage),
    ] {
        let failed = bench.store.create_image(&mut bench.key, &new).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(failed, Err(kind), "{new:?}");
        assert_eq!(std::fs::read(bench.graph("vfs-images/images.json")).expect("read"), before);
        assert!(!bench.graph("vfs-images/new").exists() && !bench.graph("vfs-images/img").exists());
    }
    let tmp = std::fs::read_dir(bench.graph("vfs-images/tmp")).expect("staging").count();
    assert_eq!(tmp, 0, "something is left in staging");
}

/// Gives a few bytes, and then fails.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0 -= 1;
        if self.0 == 0 { Err(std::io::Error::other("the source broke")) } else { Ok(buffer.len().min(10)) }
    }
}

#[test]
fn data_that_breaks_off_changes_nothing() {
    let mut bench = Bench::new();
    bench.image("img", &[], "").expect("image");
    let store = &bench.store;
    store.set_data(&mut bench.key, ItemKind::Image, "img", "key", &mut "former".as_bytes()).expect("set");
    let before = std::fs::read(bench.graph("vfs-images/images.json")).expect("read");
    for name in ["key", "other"] {
        let failed = store.set_data(&mut bench.key, ItemKind::Image, "img", name, &mut Broken(3));
        assert_eq!(failed.map_err(|error| error.kind()), Err(Kind::Io));
    }
    assert_eq!(store.data(ItemKind::Image, "img", "key").expect("data"), b"former");
    assert_eq!(std::fs::read(bench.graph("vfs-images/images.json")).expect("read"), before);
    assert_eq!(std::fs::read_dir(bench.graph("vfs-images/img")).expect("home").count(), 1);
}

/// Puts a record that can't be understood at the end of a file of records.
fn damage(bench: &Bench, file: &str, record: &str) {
    let path = bench.graph(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "[]".to_owned());
    let rest = text.strip_suffix(']').expect("an array");
    let comma = if rest == "[" { "" } else { "," };
    std::fs::create_dir_all(path.parent().expect("a home")).expect("mkdir");
    std::fs::write(&path, format!("{rest}{comma}{record}]")).expect("write");
}

#[test]
fn what_a_damaged_record_refers_to_is_not_deleted() {
    for (file, record, kind) in [
        ("vfs-images/images.json", r#"{"id":"b","names":3,"layer":"mid"}"#, Kind::LayerUsedByImage),
        ("vfs-images/images.json", r#"{"id":"b","names":3,"mapped-layers":["mid"]}"#, Kind::LayerUsedByImage),
        ("vfs-containers/containers.json", r#"{"id":"b","names":3,"layer":"mid"}"#, Kind::LayerUsedByContainer),
        ("vfs-layers/layers.json", r#"{"id":"b","names":3,"parent":"mid"}"#, Kind::LayerHasChildren),
    ] {
        let mut bench = Bench::new();
        bench.chain(None, &["base", "mid", "top"]);
        bench.image("a", &[], "top").expect("image");
        damage(&bench, file, record);
        let gone = bench.store.delete_image(&mut bench.key, "a", Deletion::Real, &quiet()).expect("delete");
        assert_eq!(gone, ["top"], "{record}");
        let refused = bench.store.delete_layer(&mut bench.key, "mid", &quiet()).map_err(|error| error.kind());
        assert_eq!(refused, Err(kind), "{record}");
    }
    for file in ["vfs-images/images.json", "vfs-containers/containers.json", "vfs-layers/layers.json"] {
        let mut bench = Bench::new();
        bench.chain(None, &["base"]);
        bench.image("a", &[], "base").expect("image");
        damage(&bench, file, "7");
        let refused = bench.store.delete_image(&mut bench.key, "a", Deletion::Real, &quiet());
        assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::Corrupt), "{file}");
        assert_eq!(bench.layers(), ["base"], "{file}");
    }
    let mut bench = Bench::new();
    bench.image("a", &[], "").expect("image");
    damage(&bench, "vfs-containers/containers.json", r#"{"id":"b","names":3,"image":"a"}"#);
    let refused = bench.store.delete_image(&mut bench.key, "a", Deletion::RecordOnly, &quiet());
    assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::ImageUsedByContainer));
}

#[test]
fn damaged_records_of_images_and_containers_keep_nobody_from_layers() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "top"]);
    for file in ["vfs-images/images.json", "vfs-containers/containers.json"] {
        let path = bench.graph(file);
        std::fs::create_dir_all(path.parent().expect("a home")).expect("mkdir");
        std::fs::write(&path, "[{").expect("write");
    }
    assert_eq!(bench.store.sight().map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt));
    let (store, key) = (&bench.store, &mut bench.key);
    store.set_data(key, ItemKind::Layer, "top", "k", &mut "text".as_bytes()).expect("set data");
    assert_eq!(store.data(ItemKind::Layer, "top", "k").expect("data"), b"text");
    assert_eq!(store.data_names(ItemKind::Layer, "top").expect("names"), ["k"]);
    store.change_names(key, "top", NameChange::Set, &owned(&["name"])).expect("names");
    store.set_metadata(key, "name", "m").expect("metadata");
    store.diff_size(key, "top", Some("base"), &quiet()).expect("diff");
    let unknown = store.lease().expect("lease").keep(key, "nosuch").map_err(|error| error.kind());
    assert_eq!(unknown, Err(Kind::LayerUnknown));
}
