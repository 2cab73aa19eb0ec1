//! Layouts and archives that are refused, each with words that say why.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use storage_core::Kind;

use super::{Bench, Maker, all, config, need};
use crate::image_format::{Digest, media};

/// Refused as directory and as archive, with this kind and these words.
fn refused(bench: &Bench, name: &str, kind: Kind, words: &str) {
    for source in [bench.path(name), bench.tar(name, "")] {
        let (found, text) = bench.refused(&source);
        assert!(found == kind && text.contains(words), "{found:?} instead of {kind:?} {words:?}: {text}");
        assert!(text.contains(&source.display().to_string()), "the source is named: {text}");
    }
}

fn blob(layer: &[u8]) -> String {
    Digest::of(layer).expect("digest").path()
}

#[test]
fn blobs_that_are_wrong_truncated_or_missing() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    let entry = maker.image(&[b"layer"]);
    maker.index(std::slice::from_ref(&entry));
    maker.file(&blob(b"layer"), b"laye");
    refused(&bench, "l", Kind::BadArchive, "the blob has 4 bytes, its descriptor says 5");
    fs::remove_file(maker.top.join(blob(b"layer"))).expect("unlink");
    refused(&bench, "l", Kind::BadArchive, "no such file");
    maker.file(&blob(b"layer"), b"loyer");
    for source in [maker.top.clone(), bench.tar("l", "")] {
        let image = bench.one(&source);
        let error = all(image.layers[0].open().expect("open")).expect_err("a wrong layer");
        assert!(error.to_string().contains("has the digest"), "{error}");
    }
    let manifest = Digest::parse(entry["digest"].as_str().expect("text")).expect("digest").path();
    let mut bytes = fs::read(maker.top.join(&manifest)).expect("read");
    bytes.reverse();
    maker.file(&manifest, &bytes);
    refused(&bench, "l", Kind::BadArchive, "has the digest");
}

#[test]
fn digests_that_are_paths() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    let entry = maker.image(&[b"layer"]);
    for digest in ["sha256:../../secret", "../../secret", "sha256:/etc/passwd", ""] {
        let mut entry = entry.clone();
        entry["digest"] = json!(digest);
        maker.index(&[entry]);
        refused(&bench, "l", Kind::BadArchive, "is not a digest");
    }
    let mut other = entry;
    other["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    maker.index(&[other]);
    refused(&bench, "l", Kind::BadArchive, "is not a digest by SHA-256");
}

#[test]
fn links_that_lead_out() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    maker.index(&[maker.image(&[b"layer"])]);
    let secret = bench.path("secret");
    fs::write(&secret, b"layer").expect("write");
    for target in [&secret, Path::new("../../../secret")] {
        let blob = maker.top.join(blob(b"layer"));
        fs::remove_file(&blob).expect("unlink");
        symlink(target, &blob).expect("symlink");
        assert!(fs::read(&blob).is_ok(), "the link leads to the secret");
        for source in [maker.top.clone(), bench.tar("l", "")] {
            let (kind, text) = bench.refused(&source);
            assert_eq!(kind, Kind::Escape, "{text}");
        }
    }
    let blob = maker.top.join(blob(b"layer"));
    fs::remove_file(&blob).expect("unlink");
    symlink(blob.file_name().expect("a name"), &blob).expect("symlink");
    assert!(bench.read(&bench.tar("l", "")).is_err(), "a link to itself ends");
    assert!(bench.read(&maker.top).is_err());
}

#[test]
fn sizes_beyond_reason() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    let mut entry = maker.image(&[b"layer"]);
    for (size, words) in
        [(json!(-1), "can't be understood"), (json!(u64::MAX), "descriptor says"), (json!(1), "says 1")]
    {
        entry["size"] = size;
        maker.index(std::slice::from_ref(&entry));
        refused(&bench, "l", Kind::BadArchive, words);
    }
    let large = " ".repeat((4 << 20) + 1);
    maker.index(&[maker.blob(media::OCI_MANIFEST, large.as_bytes())]);
    refused(&bench, "l", Kind::TooLarge, "4194304");
    maker.file("index.json", large.as_bytes());
    refused(&bench, "l", Kind::TooLarge, "index.json");
}

#[test]
fn documents_that_are_something_else() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    let config = maker.blob(media::OCI_CONFIG, config(&[b"layer"]).to_string().as_bytes());
    let layer = maker.blob(media::OCI_LAYER, b"layer");
    let of = |media_type: &str, value: Value| maker.blob(media_type, value.to_string().as_bytes());
    let with_layer = |media_type: &str| {
        let layer = maker.blob(media_type, b"layer");
        maker.manifest(&json!({"schemaVersion": 2, "config": config, "layers": [layer]}))
    };
    let cases = [
        (with_layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"), Kind::NotSupported, "encrypted"),
        (with_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), Kind::NotSupported, "foreign"),
        (with_layer("text/html"), Kind::NotSupported, "text/html"),
        (
            maker.manifest(&json!({"schemaVersion": 2, "config": layer, "layers": [layer]})),
            Kind::NotSupported,
            "an artifact, not an image",
        ),
        (
            maker.manifest(&json!({"schemaVersion": 2, "config": config, "layers": [layer], "manifests": []})),
            Kind::BadArchive,
            "a list and a manifest at once",
        ),
        (
            of(media::DOCKER_MANIFEST, json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST})),
            Kind::BadArchive,
            "calls itself",
        ),
        (maker.manifest(&json!({"schemaVersion": 1})), Kind::NotSupported, "schema version 1"),
        (maker.manifest(&json!({"schemaVersion": 2, "config": config, "layers": []})), Kind::BadArchive, "speaks of 1"),
        (maker.manifest(&json!([])), Kind::BadArchive, "can't be understood"),
        (of(media::OCI_INDEX, json!({"schemaVersion": 2, "manifests": []})), Kind::BadArchive, "is empty"),
        (of("text/plain", json!({"schemaVersion": 2})), Kind::NotSupported, "text/plain"),
    ];
    for (entry, kind, words) in cases {
        maker.index(&[entry]);
        refused(&bench, "l", kind, words);
    }
    maker.index(&[]);
    refused(&bench, "l", Kind::BadArchive, "lists no image");
    maker.json("oci-layout", &json!({"imageLayoutVersion": "2.0.0"}));
    refused(&bench, "l", Kind::NotSupported, "version \"2.0.0\"");
}

#[test]
fn lists_in_lists_without_end() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    let mut entry = maker.image(&[b"layer"]);
    for _ in 0..6 {
        let list = json!({"schemaVersion": 2, "manifests": [entry]});
        entry = maker.blob(media::OCI_INDEX, list.to_string().as_bytes());
    }
    maker.index(&[entry]);
    refused(&bench, "l", Kind::BadArchive, "more than 4 deep");
}

#[test]
fn what_is_no_image_at_all() {
    let bench = Bench::new();
    Maker::plain(&bench, "empty");
    refused(&bench, "empty", Kind::BadArchive, "index.json");
    let file = bench.path("text");
    for (content, words) in [(&b""[..], "no tar archive"), (b"hello", "no tar archive"), (&[0; 4096], "no tar archive")]
    {
        fs::write(&file, content).expect("write");
        let (kind, text) = bench.refused(&file);
        assert!(kind == Kind::BadArchive && text.contains(words), "{text}");
        assert!(bench.stream(content.to_vec()).expect_err("no image").to_string().contains(words));
    }
    assert_eq!(bench.refused(&bench.path("nothing")).0, Kind::NotFound);
    if need("a compressed file that is no archive", &["gzip"]) {
        fs::write(&file, b"hello").expect("write");
        super::run(std::process::Command::new("gzip").arg(&file));
        assert!(bench.refused(&bench.path("text.gz")).1.contains("no tar archive"));
    }
}

#[test]
fn archives_that_end_early() {
    let bench = Bench::new();
    let maker = Maker::layout(&bench, "l");
    maker.index(&[maker.image(&[&[7; 5000]])]);
    let whole = fs::read(bench.tar("l", "")).expect("read");
    let cut = bench.path("cut.tar");
    let data = whole.windows(512).position(|window| window == [7; 512]).expect("the layer");
    fs::write(&cut, &whole[..data + 512]).expect("write");
    let (_, text) = bench.refused(&cut);
    assert!(text.contains("it ends early, in the data of"), "{text}");
    let mut refusals = 0;
    for length in (512..whole.len()).step_by(512) {
        fs::write(&cut, &whole[..length]).expect("write");
        if let Ok(images) = bench.read(&cut) {
            assert_eq!(super::contents(&images[0]), [[7; 5000]], "cut in the padding at the end, or not at all");
        } else {
            refusals += 1;
        }
    }
    assert!(refusals > 10, "{refusals}");
}
