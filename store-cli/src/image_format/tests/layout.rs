//! Layouts that are read.

use std::fs;
use std::thread;

use serde_json::json;
use storage_core::Kind;

use super::{Bench, Maker, all, config, contents, machine, named, need};
use crate::image_format::platform::this_architecture;
use crate::image_format::{Digest, media};

#[test]
fn a_layout_is_the_same_as_directory_archive_compressed_archive_and_stream() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    let entry = maker.image(&[b"base", b"top"]);
    maker.index(&[named(entry.clone(), "x")]);
    let mut sources = vec![maker.top.clone(), bench.tar("layout", ""), bench.tar("layout", "--gzip")];
    if need("layout in zstd", &["zstd"]) {
        sources.push(bench.tar("layout", "--zstd"));
    }
    let mut images: Vec<_> = sources.iter().map(|source| bench.one(source)).collect();
    for tar in &sources[1..] {
        images.extend(bench.stream(fs::read(tar).expect("read")).expect("read a stream"));
    }
    for image in images {
        assert_eq!(image.names, ["localhost/x:latest"]);
        assert_eq!(image.manifest.digest.as_str(), entry["digest"]);
        assert_eq!(image.manifest.media_type, media::OCI_MANIFEST);
        assert_eq!(Digest::of(&image.manifest.bytes).expect("digest"), image.manifest.digest);
        assert_eq!(image.config.bytes, config(&[b"base", b"top"]).to_string().as_bytes());
        assert_eq!(image.id(), image.config.digest.hex());
        assert_eq!(image.config.created.as_deref(), Some("2020-01-02T03:04:05Z"));
        assert_eq!(contents(&image), [&b"base"[..], b"top"]);
        assert_eq!(image.layers[1].diff_id, Digest::of(b"top").expect("digest"));
    }
    assert_eq!(fs::read_dir(bench.spool()).expect("list").count(), 0, "copies of input have no names");
}

#[test]
fn layers_are_read_by_several_threads_and_several_times() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    let (base, top) = (vec![1; 1 << 20], vec![2; 1 << 20]);
    maker.index(&[maker.image(&[&base, &top])]);
    let image = bench.one(&bench.tar("layout", ""));
    drop(maker);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(contents(&image) == [&base[..], &top[..]], "what one reads, another moved"));
        }
    });
}

#[test]
fn an_image_with_several_names_is_one_image() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    let (one, other) = (maker.image(&[b"one"]), maker.image(&[b"other"]));
    let mut by_containerd = named(one.clone(), "1.0");
    by_containerd["annotations"]["io.containerd.image.name"] = json!("docker.io/library/foo:1.0");
    maker.index(&[named(one.clone(), "a"), named(other, "b"), by_containerd, named(one, "localhost/a:latest")]);
    let names: Vec<_> = bench.read(&maker.top).expect("read").into_iter().map(|image| image.names).collect();
    assert_eq!(names, [&["localhost/a:latest", "docker.io/library/foo:1.0"][..], &["localhost/b:latest"]]);
}

#[test]
fn the_image_for_this_machine_is_chosen_at_any_depth() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    let ours = machine(maker.image(&[b"ours"]), "linux", this_architecture());
    let others = machine(maker.image(&[b"others"]), "linux", "pdp11");
    let seal = machine(maker.image(&[b"seal"]), "unknown", "unknown");
    let list = json!({"schemaVersion": 2, "manifests": [seal, others, ours]});
    let list = maker.blob(media::OCI_INDEX, list.to_string().as_bytes());
    let outer = json!({"schemaVersion": 2, "mediaType": media::DOCKER_LIST, "manifests": [list]});
    let outer = maker.blob(media::DOCKER_LIST, outer.to_string().as_bytes());
    maker.index(&[named(outer, "x")]);
    assert_eq!(contents(&bench.one(&maker.top)), [b"ours"]);
    maker.index(&[named(others.clone(), "x"), named(ours, "x")]);
    assert_eq!(contents(&bench.one(&maker.top)), [b"ours"], "also in index.json itself");
    maker.index(std::slice::from_ref(&others));
    assert_eq!(contents(&bench.one(&maker.top)), [b"others"], "the only one is taken");
    maker.index(&[others, machine(maker.image(&[b"w"]), "windows", this_architecture())]);
    let (kind, text) = bench.refused(&maker.top);
    assert_eq!(kind, Kind::NotSupported);
    assert!(text.contains("linux/pdp11, windows/"), "{text}");
}

#[test]
fn links_are_followed_inside_a_layout() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    maker.index(&[maker.image(&[b"layer"])]);
    let blob = maker.top.join(Digest::of(b"layer").expect("digest").path());
    fs::copy(&blob, maker.top.join("data")).expect("copy");
    fs::remove_file(&blob).expect("unlink");
    std::os::unix::fs::symlink("../../data", &blob).expect("symlink");
    for source in [maker.top.clone(), bench.tar("layout", "")] {
        assert_eq!(contents(&bench.one(&source)), [b"layer"]);
    }
}

#[test]
fn a_blob_that_changes_after_it_was_found_is_not_taken() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    maker.index(&[maker.image(&[b"layer"])]);
    let image = bench.one(&maker.top);
    maker.file(&Digest::of(b"layer").expect("digest").path(), b"loyer");
    let error = all(image.layers[0].open().expect("open")).expect_err("altered").to_string();
    assert!(error.contains("has the digest sha256:"), "{error}");
}

#[test]
fn a_named_pipe_is_read_as_a_stream() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "layout");
    maker.index(&[maker.image(&[b"layer"])]);
    let (tar, pipe) = (bench.tar("layout", ""), bench.path("pipe"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, fs::read(&tar).expect("read")).expect("write"));
        assert_eq!(contents(&bench.one(&pipe)), [b"layer"]);
    });
}
