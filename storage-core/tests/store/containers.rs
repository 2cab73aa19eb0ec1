//! Making, sizing and deleting containers.

use storage_core::Kind;
use storage_core::driver::MountOptions;
use storage_core::store::{ItemKind, NewContainer, NewData, NewLayer};

use crate::{Bench, id, owned, quiet};

#[test]
fn a_container_stands_on_its_images_top_layer_and_says_what_it_was_told() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "top"]);
    bench.image("img", &["image"], "top").expect("image");
    let new = NewContainer {
        id: Some(id("con")),
        names: owned(&["n", "n", "m"]),
        image: Some("image".to_owned()),
        metadata: "text".to_owned(),
        mount_label: "label".to_owned(),
        process_label: "process".to_owned(),
        mount_options: owned(&["nodev"]),
        data: vec![NewData { name: "key".to_owned(), bytes: b"12345".to_vec() }],
        ..NewContainer::default()
    };
    let made = bench.store.create_container(&mut bench.key, &new, &quiet()).expect("container");
    assert_eq!((made.image.as_str(), made.names.as_slice()), ("img", owned(&["n", "m"]).as_slice()));
    let flags = serde_json::to_string(&made.flags).expect("JSON");
    assert_eq!(flags, r#"{"ProcessLabel":"process","MountLabel":"label","MountOpts":["nodev"]}"#);
    let layer = bench.store.lookup(&made.layer).expect("its layer");
    assert_eq!((layer.parent.as_str(), layer.mount_label.as_str(), layer.names.len()), ("top", "label", 0));
    assert_eq!(bench.store.data(ItemKind::Container, "con", "key").expect("data"), b"12345");

    let on_it = NewLayer { parent: Some(made.layer.clone()), ..NewLayer::default() };
    let refused = bench.store.create_layer(&mut bench.key, &on_it, &quiet()).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(refused, Err(Kind::ParentIsContainer));

    let options = MountOptions::default();
    let place = bench.store.mount(&mut bench.key, &made.layer, &options).expect("mount");
    std::fs::write(place.join("f"), "123").expect("write");
    let directory = bench.store.container_run_directory("n").expect("directory");
    std::fs::write(directory.join("g"), "1234567").expect("write");
    let size = bench.store.container_size(&mut bench.key, "m", &quiet()).expect("size");
    assert_eq!(size, 5 + 3 + 7, "data, what was written, and the directories");
    bench.store.delete_container(&mut bench.key, "con", &quiet()).expect("a mounted container is unmounted first");
    assert_eq!(bench.layers(), ["base", "top"]);
    assert!(!directory.exists() && !bench.graph("vfs-containers/con").exists());
    assert!(bench.store.mounted_layers().expect("mounts").is_empty());
}

#[test]
fn a_container_that_can_not_be_made_leaves_no_layer() {
    let mut bench = Bench::new();
    bench.chain(None, &["top"]);
    bench.image("img", &[], "top").expect("image");
    bench.container("con", "img").expect("container");
    let before = (bench.layers(), bench.places());
    let base = || NewContainer { image: Some("img".to_owned()), ..NewContainer::default() };
    let named = NewContainer { names: owned(&["name"]), ..base() };
    bench
        .store
        .create_container(&mut bench.key, &NewContainer { id: Some(id("named")), ..named.clone() }, &quiet())
        .expect("make");
    bench.store.delete_container(&mut bench.key, "named", &quiet()).expect("delete");
    for (new, kind) in [
        (NewContainer { id: Some(id("con")), ..base() }, Kind::DuplicateId),
        (NewContainer { layer: Some(id("top")), ..base() }, Kind::DuplicateId),
        (NewContainer { image: Some("nosuch".to_owned()), ..base() }, Kind::ImageUnknown),
        (NewContainer { names: owned(&[""]), ..base() }, Kind::Usage),
        (
            NewContainer { data: vec![NewData { name: "..".to_owned(), bytes: vec![] }], ..base() },
            Kind::InvalidBigDataName,
        ),
    ] {
        let failed =
            bench.store.create_container(&mut bench.key, &new, &quiet()).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(failed, Err(kind), "{new:?}");
        assert_eq!((bench.layers(), bench.places()), before, "{new:?} left something");
    }
}

#[test]
fn a_container_without_its_layer_can_be_deleted() {
    let mut bench = Bench::new();
    bench.container("con", "").expect("container");
    std::fs::write(bench.graph("vfs-layers/layers.json"), "[]").expect("lose the layer's record");
    bench = bench.reopened();
    bench.store.delete_container(&mut bench.key, "con", &quiet()).expect("delete");
    assert!(bench.store.sight().expect("sight").containers.is_empty());
}

#[test]
fn volatile_containers_have_a_file_of_their_own_where_one_was_made() {
    let mut bench = Bench::new();
    let early = NewContainer { id: Some(id("early")), volatile: true, ..NewContainer::default() };
    bench.store.create_container(&mut bench.key, &early, &quiet()).expect("container");
    let records = std::fs::read_to_string(bench.graph("vfs-containers/containers.json")).expect("records");
    assert!(records.contains("early"), "a version that doesn't know the file would not see it");
    std::fs::write(bench.graph("vfs-containers/volatile-containers.json"), "[]").expect("a newer version's file");
    let new = NewContainer { id: Some(id("quick")), volatile: true, ..NewContainer::default() };
    bench.store.create_container(&mut bench.key, &new, &quiet()).expect("container");
    let text = |path: &str| std::fs::read_to_string(bench.graph(path)).unwrap_or_default();
    assert!(text("vfs-containers/volatile-containers.json").contains(r#""id":"quick""#));
    assert!(text("vfs-layers/volatile-layers.json").contains(r#""id":""#));
    assert!(!text("vfs-containers/containers.json").contains("quick"));
    let sight = bench.store.consistent_sight(&mut bench.key).expect("sight");
    assert!(sight.container("quick", "test").expect("there").is_volatile());
}
