//! Images that podman made, and what they make of ours.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use storage_core::archive::Compression;
use storage_core::{Result, Task};

use super::saved::out;
use super::{Bench, contents, need, run};
use crate::image_format::save::{OutgoingLayer, write_archive_file, write_directory};
use crate::image_format::{Digest, Image, spool};

/// A program on the store `name` of the bench.
fn on(bench: &Bench, program: &str, name: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("--root").arg(bench.path(name)).arg("--runroot").arg(bench.path(&format!("{name}-run")));
    command.args(["--storage-driver", "vfs"]).env_remove("STORAGE_DRIVER").env_remove("STORAGE_OPTS");
    command
}

/// Builds an image of two layers, called `two`, in the store `built`.
fn build(bench: &Bench, format: &str) {
    let tree = bench.path("tree");
    fs::create_dir_all(tree.join("d")).expect("mkdir");
    fs::write(tree.join("d/f"), "hello\n".repeat(10_000)).expect("write");
    fs::write(tree.join("more"), "more\n").expect("write");
    fs::write(tree.join("Containerfile"), "FROM scratch\nENV X=1\nCOPY d /d\nCOPY more /d/more\n").expect("write");
    run(on(bench, "podman", "built").args(["build", "-q", "--layers", "-t", "two", "--format", format]).arg(&tree));
}

/// The id, the digest and the names that podman has for the one image of a fresh store into which it loads `path`.
fn loaded_by_podman(bench: &Bench, path: &Path, store: &str) -> (String, String, Vec<String>) {
    run(on(bench, "podman", store).args(["load", "-q", "-i"]).arg(path));
    let images: Value =
        serde_json::from_str(&run(on(bench, "podman", store).args(["images", "--format", "json"]))).expect("JSON");
    let image = &images[0];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let names = image["Names"].as_array().into_iter().flatten().map(text).collect();
    (text(&image["Id"]), text(&image["Digest"]), names)
}

fn known(image: &Image) -> (String, String, Vec<String>) {
    (image.id().to_owned(), image.manifest.digest.to_string(), image.names.clone())
}

/// Layers are what their digests and diff ids say.
fn check_layers(image: &Image) {
    for (layer, data) in image.layers.iter().zip(contents(image)) {
        assert_eq!(Digest::of(&data).expect("digest"), layer.descriptor.digest);
        let (_, content) = storage_core::archive::decoder(&data[..]).expect("decode");
        assert_eq!(Digest::of(&super::all(content).expect("read")).expect("digest"), layer.diff_id);
    }
}

fn podman_saves(bench: &Bench, format: &str) -> PathBuf {
    let path = bench.path(&format!("{format}.saved"));
    run(on(bench, "podman", "built").args(["save", "-q", "--format", format, "-o"]).arg(&path).arg("two"));
    path
}

#[test]
fn what_podman_saves_is_read_as_podman_loads_it() {
    if !need("what_podman_saves_is_read_as_podman_loads_it", &["podman"]) {
        return;
    }
    for build_format in ["oci", "docker"] {
        let bench = Bench::new();
        build(&bench, build_format);
        for (number, format) in ["oci-archive", "docker-archive"].into_iter().enumerate() {
            let path = podman_saves(&bench, format);
            let image = bench.one(&path);
            assert_eq!(
                known(&image),
                loaded_by_podman(&bench, &path, &format!("l{number}")),
                "{build_format} {format}"
            );
            assert_eq!(image.names, ["localhost/two:latest"]);
            assert_eq!(image.layers.len(), 2);
            check_layers(&image);
        }
        let directory = bench.one(&podman_saves(&bench, "oci-dir"));
        assert_eq!(directory.names, ["localhost/two:latest"], "podman itself calls it after the directory");
        check_layers(&directory);
    }
}

/// Writes the image with layers as they were read, or without compression.
fn save_again(image: &Image, compression: Option<Compression>, to: &Path) {
    let task = Task::new("test");
    let mut outgoing = out(image.clone());
    let data: Vec<Vec<u8>> = contents(image);
    let data: Vec<Vec<u8>> = match compression {
        None => data,
        Some(_) => data
            .iter()
            .map(|data| super::all(storage_core::archive::decoder(&data[..]).expect("decode").1).expect("read"))
            .collect(),
    };
    for (layer, data) in outgoing.layers.iter_mut().zip(&data) {
        *layer = OutgoingLayer {
            digest: Digest::of(data).expect("digest"),
            size: data.len() as u64,
            compression: Compression::detect(data),
        };
    }
    let layers = outgoing.layers.clone();
    let mut fetch = |layer: &OutgoingLayer, output: &mut dyn Write| -> Result<()> {
        let at = layers.iter().position(|other| other == layer).expect("a layer of the image");
        spool::copy(&mut &data[at][..], output, &task)
    };
    if to.extension().is_some() {
        write_archive_file(to, &[outgoing], &mut fetch, &task).expect("write");
    } else {
        write_directory(to, &[outgoing], &mut fetch, &task).expect("write");
    }
}

#[test]
fn podman_and_skopeo_read_what_is_written() {
    if !need("podman_and_skopeo_read_what_is_written", &["podman", "skopeo"]) {
        return;
    }
    for (build_format, archive) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
        let bench = Bench::new();
        build(&bench, build_format);
        let image = bench.one(&podman_saves(&bench, archive));
        let id = image.id().to_owned();
        let original = image.manifest.bytes.clone();
        for (number, (compression, name)) in [
            (None, "as-is"),
            (None, "as-is.tar"),
            (Some(Compression::None), "plain"),
            (Some(Compression::None), "plain.tar"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = bench.path(name);
            save_again(&image, compression, &path);
            let transport = if path.extension().is_some() { "oci-archive" } else { "oci" };
            let reference = format!("{transport}:{}:localhost/two:latest", path.display());
            let raw = run(Command::new("skopeo").args(["inspect", "--raw", &reference]));
            if build_format == "oci" && compression.is_none() {
                assert_eq!(raw.as_bytes(), original, "the manifest is the original one");
            }
            assert!(raw.contains(&format!("sha256:{id}")), "the config is the original one: {raw}");
            let inspected = run(Command::new("skopeo").args(["inspect", &reference]));
            assert!(inspected.contains("X=1"), "{inspected}");
            let copied = bench.path(&format!("copied{number}.tar"));
            let target = format!("docker-archive:{}:localhost/two:latest", copied.display());
            run(Command::new("skopeo").args(["copy", "-q", "--insecure-policy", &reference, &target]));
            check_layers(&bench.one(&copied));
            if transport == "oci-archive" {
                let (loaded, _, names) = loaded_by_podman(&bench, &path, &format!("s{number}"));
                assert_eq!((loaded.as_str(), &names[..]), (id.as_str(), &["localhost/two:latest".to_owned()][..]));
            }
        }
    }
}
