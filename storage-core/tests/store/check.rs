//! What check and repair make of what nobody can know for certain.

use storage_core::Kind;
use storage_core::store::{CheckOptions, CheckReport, DamagedContainers, FindingKind, ItemKind, RepairReport, Subject};

use crate::{Bench, owned, quiet};

fn check(bench: &mut Bench) -> CheckReport {
    bench.store.check(&mut bench.key, &CheckOptions::default(), &quiet()).expect("check")
}

fn kinds(bench: &mut Bench) -> Vec<FindingKind> {
    check(bench).findings.iter().map(|finding| finding.kind).collect()
}

fn repair(bench: &mut Bench, only: &[&str]) -> RepairReport {
    let report = check(bench);
    let only = owned(only);
    bench.store.repair(&mut bench.key, &report, &only, DamagedContainers::Kept, &quiet()).expect("repair")
}

/// The file of the data `key` of an item, which is given it.
fn data(bench: &mut Bench, kind: ItemKind, id: &str) -> std::path::PathBuf {
    let store = &bench.store;
    store.set_data(&mut bench.key, kind, id, "key", &mut "data".as_bytes()).expect("set data");
    let home = match kind {
        ItemKind::Layer => "vfs-layers",
        ItemKind::Image => "vfs-images",
        ItemKind::Container => "vfs-containers",
    };
    let path = bench.graph(home).join(id).join("key");
    assert!(path.is_file(), "{}", path.display());
    path
}

#[test]
fn a_directory_that_is_no_layers_is_told_by_nobody() {
    let mut bench = Bench::new();
    bench.chain(None, &["a"]);
    std::fs::create_dir_all(bench.graph("vfs/dir/lost+found")).expect("mkdir");
    assert_eq!(kinds(&mut bench), []);
    std::fs::create_dir_all(bench.graph("vfs/dir").join("a".repeat(64))).expect("mkdir");
    assert_eq!(kinds(&mut bench), [FindingKind::LayerUnaccounted]);
}

#[test]
fn nothing_is_an_orphan_while_lost_records_are_kept_beside_the_others() {
    let mut bench = Bench::new();
    bench.chain(None, &["a"]);
    let (layer, image) = ("a".repeat(64), "b".repeat(64));
    bench.image("img", &[], "a").expect("image");
    std::fs::create_dir_all(bench.graph("vfs/dir").join(&layer)).expect("mkdir");
    std::fs::create_dir_all(bench.graph("vfs-images").join(&image)).expect("mkdir");
    let beside = ["vfs-layers/layers.json", "vfs-images/images.json"];
    let beside = beside.map(|path| bench.graph(&format!("{path}.damaged-lamina-1")));
    for path in &beside {
        std::fs::write(path, "[").expect("write");
    }
    assert_eq!(kinds(&mut bench), []);
    let report = bench.store.gc(&mut bench.key, &quiet()).expect("gc");
    assert_eq!((report.orphans, report.directories, report.uncertain), (0, 0, true));
    for path in &beside {
        std::fs::remove_file(path).expect("unlink");
    }
    let report = bench.store.gc(&mut bench.key, &quiet()).expect("gc");
    assert_eq!((report.orphans, report.directories, report.uncertain), (1, 1, false));
}

#[test]
fn what_stands_on_an_additional_store_that_is_away_is_kept() {
    for away in ["broken", "gone"] {
        let mut bench = Bench::new();
        bench.chain(None, &["base", "top"]);
        bench.image("img", &["name"], "top").expect("image");
        let below = bench.graph("vfs-layers/layers.json");
        let mut bench = bench.above();
        bench.chain(Some("top"), &["own"]);
        bench.image("own-img", &[], "own").expect("image");
        bench.container("con", "img").expect("container");
        assert_eq!(kinds(&mut bench), []);
        match away {
            "broken" => std::fs::write(below, "[{").expect("write"),
            _ => std::fs::remove_file(below).expect("unlink"),
        }
        let found = kinds(&mut bench);
        assert!(found.contains(&FindingKind::NotExamined), "{away}: {found:?}");
        let repaired = repair(&mut bench, &[]);
        assert_eq!(repaired.deleted, [], "{away}");
        assert!(bench.layers().contains(&"own".to_owned()), "{away}");
    }
}

#[test]
fn a_damaged_container_that_stays_is_told() {
    let mut bench = Bench::new();
    bench.container("con", "").expect("container");
    let path = data(&mut bench, ItemKind::Container, "con");
    std::fs::remove_file(&path).expect("unlink");
    // What is no file ends no check either.
    std::fs::create_dir(&path).expect("mkdir");
    assert_eq!(kinds(&mut bench), [FindingKind::ContainerDataMissing]);
    let repaired = repair(&mut bench, &[]);
    let failed: Vec<Kind> = repaired.failed.iter().map(storage_core::Error::kind).collect();
    assert_eq!((repaired.deleted, failed), (Vec::new(), vec![Kind::LayerUsedByContainer]));
}

#[test]
fn an_image_is_repaired_with_the_layers_that_it_stands_on_and_no_others() {
    let mut bench = Bench::new();
    bench.chain(None, &["base", "top"]);
    bench.chain(None, &["other"]);
    bench.image("img", &[], "top").expect("image");
    bench.image("other-img", &[], "other").expect("image");
    for layer in ["base", "other"] {
        std::fs::remove_file(data(&mut bench, ItemKind::Layer, layer)).expect("unlink");
    }
    let repaired = repair(&mut bench, &["img"]);
    assert!(repaired.failed.is_empty(), "{:?}", repaired.failed);
    assert!(repaired.deleted.contains(&(Subject::Image, "img".to_owned())), "{:?}", repaired.deleted);
    assert_eq!(bench.layers(), ["other"]);
}

#[test]
fn data_that_was_put_right_meanwhile_costs_nothing() {
    let mut bench = Bench::new();
    bench.chain(None, &["a"]);
    bench.image("img", &[], "a").expect("image");
    let path = data(&mut bench, ItemKind::Image, "img");
    std::fs::write(&path, "atad").expect("write");
    let report = check(&mut bench);
    assert_eq!(report.findings.iter().map(|f| f.kind).collect::<Vec<_>>(), [FindingKind::ImageDataDigest]);
    std::fs::write(&path, "data").expect("write");
    let key = &mut bench.key;
    let repaired = bench.store.repair(key, &report, &[], DamagedContainers::Kept, &quiet()).expect("repair");
    assert_eq!(repaired.deleted, []);
}
