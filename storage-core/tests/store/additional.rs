//! Images and layers of an additional store: used, shown, copied here to be changed, never touched.

use std::path::Path;

use storage_core::Kind;
use storage_core::store::{Deletion, ItemKind, NameChange, NewImage};

use crate::{Bench, id, owned, quiet};

/// A store above one with an image, and the files of the one below.
fn above() -> (Bench, Vec<(String, Vec<u8>)>) {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "top"]);
    bench.image("img", &["name"], "top").expect("image");
    let store = &bench.store;
    store.set_data(&mut bench.key, ItemKind::Image, "img", "manifest", &mut "{}".as_bytes()).expect("set");
    store.change_names(&mut bench.key, "img", NameChange::Set, &owned(&["later"])).expect("name");
    let below = files(bench.store.graph_root());
    (bench.above(), below)
}

fn files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("read a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.display().to_string(), std::fs::read(&path).expect("read")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_an_additional_store_has_is_seen_behind_the_own() {
    let (mut bench, _) = above();
    bench.chain(None, &["own"]);
    let sight = bench.store.sight().expect("sight");
    assert_eq!(
        sight.layer("top", "test").map(|(store, layer)| (store, layer.id.clone())).ok(),
        Some((1, "top".into()))
    );
    assert_eq!(sight.image("later", "test").expect("the image").0, 1);
    assert_eq!(sight.item("own", "test").expect("the layer").0, 0);
    let size = bench.store.image_size(&mut bench.key, "img", &quiet());
    assert_eq!(size.expect("layers of another store are measured"), 2, "its data alone has any");
    assert_eq!(bench.store.data(ItemKind::Image, "later", "manifest").expect("data"), b"{}");
}

#[test]
fn an_image_is_copied_here_before_it_is_changed() {
    for change in ["names", "metadata", "data"] {
        let (mut bench, below) = above();
        let store = &bench.store;
        match change {
            "names" => drop(store.change_names(&mut bench.key, "later", NameChange::Add, &owned(&["x"])).expect("add")),
            "metadata" => drop(store.set_metadata(&mut bench.key, "later", "text").expect("set")),
            _ => store.set_data(&mut bench.key, ItemKind::Image, "later", "key", &mut "k".as_bytes()).expect("set"),
        }
        let sight = store.sight().expect("sight");
        let (number, image) = sight.image("img", "test").expect("the image");
        assert_eq!((number, image.layer.as_str()), (0, "top"), "{change}: it is here, and its layers stay there");
        assert!(image.names.contains(&"later".to_owned()) && image.names_history.contains(&"name".to_owned()));
        assert_eq!(store.data(ItemKind::Image, "img", "manifest").expect("data"), b"{}");
        assert!(image.digest.starts_with("sha256:"), "{change}: {image:?}");
        let root = bench.store.graph_root().parent().and_then(Path::parent).expect("roots").join("own/graph");
        assert_eq!(files(&root), below, "{change} touched the additional store");
        let gone = bench.store.delete_image(&mut bench.key, "img", Deletion::Real, &quiet()).expect("delete the copy");
        assert!(gone.is_empty(), "no layer of another store is deleted: {gone:?}");
    }
}

#[test]
fn an_image_with_the_id_of_one_below_takes_over_what_that_has() {
    let (mut bench, _) = above();
    let new =
        NewImage { id: Some(id("img")), names: owned(&["mine"]), layer: Some("top".into()), ..NewImage::default() };
    let made = bench.store.create_image(&mut bench.key, &new).expect("image");
    assert_eq!(made.names, ["later", "mine"]);
    assert_eq!(made.big_data_names, ["manifest"]);
    let again = bench.store.create_image(&mut bench.key, &new).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(again, Err(Kind::DuplicateId));
}

#[test]
fn what_is_only_there_can_be_built_on_and_not_deleted() {
    let (mut bench, _) = above();
    let refused = bench.store.delete_image(&mut bench.key, "later", Deletion::Real, &quiet());
    assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::ReadOnlyStore));
    bench.container("con", "later").expect("a container on an image of another store");
    assert_eq!(bench.store.lookup("con-layer").expect("its layer").parent, "top");
    assert_eq!(bench.places(), ["con-layer"]);
}
