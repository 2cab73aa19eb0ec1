//! Layouts that are written.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use storage_core::archive::Compression;
use storage_core::archive::compression::write_failed;
use storage_core::{Cancel, Error, Kind, Result, Task};

use super::{Bench, Maker, contents, named, run};
use crate::image_format::save::{
    Compressed, Outgoing, OutgoingLayer, write_archive, write_archive_file, write_directory,
};
use crate::image_format::{Digest, Image};

/// An image with these layers, and the data by digest.
fn outgoing(bench: &Bench, name: &str, layers: &[&[u8]]) -> (Outgoing, HashMap<Digest, Vec<u8>>) {
    let maker = Maker::layout(bench, &format!("from-{name}"));
    maker.index(&[named(maker.image(layers), name)]);
    let image = bench.one(&maker.top);
    let data = image.layers.iter().zip(contents(&image));
    let data = data.map(|(layer, data)| (layer.descriptor.digest.clone(), data)).collect();
    (out(image), data)
}

/// The image as it was read.
pub(super) fn out(image: Image) -> Outgoing {
    let layers = image.layers.iter().map(|layer| OutgoingLayer {
        digest: layer.descriptor.digest.clone(),
        size: layer.descriptor.size,
        compression: Compression::None,
    });
    Outgoing {
        layers: layers.collect(),
        names: image.names,
        manifest: image.manifest.bytes,
        config: image.config.bytes,
    }
}

fn from(data: &HashMap<Digest, Vec<u8>>) -> impl FnMut(&OutgoingLayer, &mut dyn Write) -> Result<()> {
    |layer, output| output.write_all(&data[&layer.digest]).map_err(write_failed)
}

fn task() -> Task {
    Task::new("test")
}

fn files(path: &Path) -> Vec<String> {
    let list = |path: &Path| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let mut files = [list(path), list(&path.join("blobs/sha256"))].concat();
    files.sort();
    files
}

#[test]
fn what_is_written_is_read_back_unchanged() {
    let bench = Bench::new();
    let (mut image, data) = outgoing(&bench, "x", &[b"base", b"top", b"base"]);
    image.names.push("localhost/y:2".into());
    let images = [image];
    let (directory, archive) = (bench.path("dir"), bench.path("file.tar"));
    write_directory(&directory, &images, &mut from(&data), &task()).expect("write");
    write_archive_file(&archive, &images, &mut from(&data), &task()).expect("write");
    let members = run(Command::new("tar").arg("-tf").arg(&archive));
    assert_eq!(members.lines().count(), 2 + 2 + 4, "every blob is there once: {members}");
    let mut stream = Vec::new();
    write_archive(&mut stream, &images, &mut from(&data), &task()).expect("write");
    assert!(fs::read(&archive).expect("read") == stream, "equal images give equal archives");
    for image in [bench.one(&directory), bench.one(&archive), bench.stream(stream).expect("read").remove(0)] {
        assert_eq!(image.names, ["localhost/x:latest", "localhost/y:2"]);
        assert_eq!(image.manifest.bytes, images[0].manifest);
        assert_eq!(image.config.bytes, images[0].config);
        assert_eq!(contents(&image), [&b"base"[..], b"top", b"base"]);
    }
    assert_eq!(files(&directory).len(), 3 + 4, "blobs are there once, and nothing else: {:?}", files(&directory));
}

#[test]
fn an_image_is_added_to_a_layout_and_takes_its_name_over() {
    let bench = Bench::new();
    let (one, mut data) = outgoing(&bench, "x", &[b"base", b"one"]);
    let (mut two, more) = outgoing(&bench, "y", &[b"base", b"two"]);
    data.extend(more);
    let directory = bench.path("dir");
    fs::create_dir(&directory).expect("an empty directory is taken");
    write_directory(&directory, std::slice::from_ref(&one), &mut from(&data), &task()).expect("write");
    let mut index: Value =
        serde_json::from_slice(&fs::read(directory.join("index.json")).expect("read")).expect("JSON");
    index["extra"] = "kept".into();
    fs::write(directory.join("index.json"), index.to_string()).expect("write");
    let mut fetched = Vec::new();
    let mut fetch = |layer: &OutgoingLayer, output: &mut dyn Write| {
        fetched.push(layer.digest.clone());
        from(&data)(layer, output)
    };
    write_directory(&directory, std::slice::from_ref(&two), &mut fetch, &task()).expect("write");
    assert_eq!(fetched, [Digest::of(b"two").expect("digest")], "blobs that are there are not written again");
    let names = |images: Vec<Image>| images.into_iter().map(|image| image.names).collect::<Vec<_>>();
    let read = bench.read(&directory).expect("read");
    assert_eq!(names(read), [["localhost/x:latest"], ["localhost/y:latest"]]);
    two.names = one.names;
    write_directory(&directory, &[two], &mut from(&data), &task()).expect("write");
    let read = bench.read(&directory).expect("read");
    assert_eq!(contents(&read[0])[1], b"two");
    assert_eq!(names(read), [["localhost/y:latest", "localhost/x:latest"]], "the old image lost its name");
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).expect("read")).expect("JSON");
    assert_eq!(index["extra"], "kept");
}

#[test]
fn failures_leave_nothing_half_written() {
    let bench = Bench::new();
    let (image, data) = outgoing(&bench, "x", &[b"base", b"top"]);
    let (directory, archive) = (bench.path("dir"), bench.path("file.tar"));
    fs::write(&archive, "old").expect("write");
    let wrong: [(&[u8], &str); 3] = [(b"tip", "has the digest"), (b"to", "shorter"), (b"topp", "longer")];
    for (top, words) in wrong {
        let mut data = data.clone();
        data.insert(Digest::of(b"top").expect("digest"), top.to_vec());
        let images = [image.clone()];
        for result in [
            write_directory(&directory, &images, &mut from(&data), &task()),
            write_archive_file(&archive, &images, &mut from(&data), &task()),
        ] {
            let error = result.expect_err("wrong data");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let cancel = Cancel::default();
    cancel.cancel();
    let stopped = Task::new("test").cancelled_by(cancel);
    let result = write_directory(&directory, std::slice::from_ref(&image), &mut from(&data), &stopped);
    assert_eq!(result.map_err(|error| error.kind()), Err(Kind::Cancelled));
    assert_eq!(fs::read(&archive).expect("read"), b"old", "the old file stays until the new one is whole");
    assert_eq!(files(bench.spool().parent().expect("a parent")), ["file.tar", "from-x", "spool"]);
    write_directory(&directory, std::slice::from_ref(&image), &mut from(&data), &task()).expect("write");
    let (other, _) = outgoing(&bench, "other", &[b"other"]);
    let before = files(&directory);
    let mut broken = |_: &OutgoingLayer, _: &mut dyn Write| Err(Error::new(Kind::Io, "read layer"));
    assert!(write_directory(&directory, &[other], &mut broken, &task()).is_err());
    assert_eq!(files(&directory), before);
    assert_eq!(bench.one(&directory).names, ["localhost/x:latest"]);
}

#[test]
fn other_directories_are_not_touched() {
    let bench = Bench::new();
    let (image, data) = outgoing(&bench, "x", &[b"base"]);
    let images = [image];
    let directory = bench.path("dir");
    fs::create_dir(&directory).expect("mkdir");
    fs::write(directory.join("f"), "x").expect("write");
    let error = write_directory(&directory, &images, &mut from(&data), &task()).expect_err("not a layout");
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    assert_eq!(files(&directory), ["f"]);
    let (layout, outside) = (Maker::layout(&bench, "layout"), bench.path("outside"));
    fs::remove_dir(layout.top.join("blobs/sha256")).expect("rmdir");
    fs::create_dir(&outside).expect("mkdir");
    std::os::unix::fs::symlink(&outside, layout.top.join("blobs/sha256")).expect("symlink");
    assert!(write_directory(&layout.top, &images, &mut from(&data), &task()).is_err());
    assert_eq!(files(&outside), Vec::<String>::new(), "nothing is written through a link");
}

#[test]
fn a_layer_can_be_compressed_for_the_occasion() {
    let bench = Bench::new();
    let text = b"base ".repeat(1000);
    let (mut image, _) = outgoing(&bench, "x", &[&text]);
    for (compression, suffix) in [(Compression::Gzip, "+gzip"), (Compression::Zstd, "+zstd")] {
        let write = |output: &mut dyn Write| output.write_all(&text).map_err(write_failed);
        let mut compressed = Compressed::make(compression, &bench.spool(), write).expect("compress");
        image.layers = vec![compressed.layer().clone()];
        let directory = bench.path(suffix);
        let task = task();
        let mut fetch = |_: &OutgoingLayer, output: &mut dyn Write| compressed.write_to(output, &task);
        write_directory(&directory, std::slice::from_ref(&image), &mut fetch, &task).expect("write");
        let read = bench.one(&directory);
        assert_eq!(read.config.bytes, image.config, "the config stays");
        assert!(read.layers[0].descriptor.media_type.ends_with(suffix));
        assert!(read.layers[0].descriptor.size < 1000);
        let (_, content) = storage_core::archive::decoder(read.layers[0].open().expect("open")).expect("decode");
        assert!(super::all(content).expect("read") == text);
    }
    assert_eq!(files(&bench.spool()), Vec::<String>::new());
}
