//! What the next writer does about a process that died between two records.

use storage_core::Kind;
use storage_core::store::NewLayer;

use crate::{Bench, owned, quiet};

impl Bench {
    /// As if a process had died that was about to do this.
    fn died(&mut self, intent: &str) {
        let path = self.graph("vfs-layers/lamina-intent");
        std::fs::write(path, format!(r#"{{"version":1,"intent":{intent}}}"#)).expect("write the intent");
    }

    /// Has a writer come by. It leaves no trace of its own.
    fn somebody_writes(&mut self) {
        let new = NewLayer { id: Some(crate::id("passing")), ..NewLayer::default() };
        self.store.create_layer(&mut self.key, &new, &quiet()).expect("make a layer");
        self.store.delete_layer(&mut self.key, "passing", &quiet()).expect("delete it");
        assert!(!self.graph("vfs-layers/lamina-intent").exists(), "the intent is dealt with");
        assert_eq!(self.layers(), self.places(), "records and places agree");
    }
}

#[test]
fn a_layer_that_was_made_for_a_container_goes_when_the_container_was_not_made() {
    for (prepare, left) in [
        ("nothing", &["base"][..]),
        ("the record was made", &["base", "con-layer"]),
        ("somebody built on it", &["base", "child", "con-layer"]),
    ] {
        let mut bench = Bench::new();
        bench.chain(None, &["base"]);
        if prepare == "the record was made" {
            bench.container("con", "").expect("container");
        } else {
            bench.chain(Some("base"), &["con-layer"]);
        }
        if prepare == "somebody built on it" {
            bench.chain(Some("con-layer"), &["child"]);
        }
        bench.died(r#"{"operation":"create-for","owner":"container","id":"con","layer":"con-layer"}"#);
        bench.somebody_writes();
        assert_eq!(bench.layers(), owned(left), "{prepare}");
    }
}

#[test]
fn layers_of_an_image_whose_record_went_go_too_but_not_what_others_need() {
    for (prepare, left) in [
        ("nothing", &[][..]),
        ("the record is there still", &["base", "mid", "top"]),
        ("another image", &["base", "mid"]),
        ("a child", &["base", "child", "mid"]),
        ("a container's layer", &["base", "con-layer", "mid"]),
    ] {
        let mut bench = Bench::new();
        bench.chain(None, &["base", "mid", "top"]);
        match prepare {
            "the record is there still" => drop(bench.image("img", &[], "top").expect("image")),
            "another image" => drop(bench.image("other", &[], "mid").expect("image")),
            "a child" => bench.chain(Some("mid"), &["child"]),
            "a container's layer" => {
                bench.image("other", &[], "mid").expect("image");
                bench.container("con", "other").expect("container");
            }
            _ => {}
        }
        bench.died(r#"{"operation":"delete-with","owner":"image","id":"img","layers":["top","mid","base"]}"#);
        bench.somebody_writes();
        assert_eq!(bench.layers(), owned(left), "{prepare}");
    }
}

#[test]
fn the_layer_of_a_container_whose_record_went_goes_too() {
    let mut bench = Bench::new();
    bench.chain(None, &["base"]);
    bench.image("img", &[], "base").expect("image");
    bench.container("con", "img").expect("container");
    std::fs::write(bench.graph("vfs-containers/containers.json"), "[]").expect("the record went");
    bench = bench.reopened();
    bench.died(r#"{"operation":"delete-with","owner":"container","id":"con","layers":["con-layer"]}"#);
    bench.somebody_writes();
    assert_eq!(bench.layers(), ["base"]);
}

#[test]
fn an_intent_that_can_not_be_understood_stops_writers_and_no_reader() {
    let mut bench = Bench::new();
    bench.chain(None, &["base"]);
    bench.died(r#"{"operation":"delete-with","owner":"universe","id":"x","layers":["base"]}"#);
    let refused = bench.store.delete_layer(&mut bench.key, "base", &quiet()).map_err(|error| error.kind());
    assert_eq!(refused, Err(Kind::Corrupt));
    assert_eq!(bench.layers(), ["base"]);
}
