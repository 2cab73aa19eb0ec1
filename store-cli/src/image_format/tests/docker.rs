//! Docker archives.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use storage_core::Kind;

use super::{Bench, Maker, all, config, contents, run};
use crate::image_format::{Digest, media};

/// An archive of docker's old form, in the directory `name`.
fn old_form(bench: &Bench, name: &str, layers: &[&[u8]]) -> Maker {
    let maker = Maker::plain(bench, name);
    let config = config(layers).to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).expect("digest").hex());
    maker.file(&config_name, config.as_bytes());
    let mut paths = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let path = format!("{}/layer.tar", number.to_string().repeat(64));
        maker.file(&path, layer);
        paths.push(path);
    }
    maker.json(
        "manifest.json",
        &json!([{"Config": config_name, "RepoTags": ["x:1", "x:1", "docker.io/x:2"], "Layers": paths}]),
    );
    maker
}

fn rewrite(maker: &Maker, change: impl FnOnce(&mut Value)) {
    let mut list: Value =
        serde_json::from_slice(&fs::read(maker.top.join("manifest.json")).expect("read")).expect("JSON");
    change(&mut list);
    maker.json("manifest.json", &list);
}

#[test]
fn an_archive_gets_the_manifest_that_podman_makes_up() {
    let bench = Bench::new();
    old_form(&bench, "d", &[b"base", b"top"]);
    let plain = bench.tar("d", "");
    let streamed = bench.stream(fs::read(bench.tar("d", "--gzip")).expect("read")).expect("read").remove(0);
    for image in [bench.one(&plain), streamed] {
        assert_eq!(image.names, ["localhost/x:1", "docker.io/library/x:2"]);
        assert_eq!(image.manifest.media_type, media::DOCKER_MANIFEST);
        assert_eq!(contents(&image), [&b"base"[..], b"top"]);
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":4,"digest":"{}"}},{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":3,"digest":"{}"}}]}}"#,
            image.config.bytes.len(),
            image.config.digest,
            Digest::of(b"base").expect("digest"),
            Digest::of(b"top").expect("digest"),
        );
        assert_eq!(String::from_utf8_lossy(&image.manifest.bytes), expected);
    }
}

#[test]
fn layers_may_be_links_or_compressed() {
    let bench = Bench::new();
    let maker = old_form(&bench, "d", &[b"base", b"base"]);
    let second = format!("{}/layer.tar", "1".repeat(64));
    fs::remove_file(maker.top.join(&second)).expect("unlink");
    symlink(format!("../{}/layer.tar", "0".repeat(64)), maker.top.join(&second)).expect("symlink");
    assert_eq!(contents(&bench.one(&bench.tar("d", ""))), [b"base", b"base"]);
    fs::remove_file(maker.top.join(&second)).expect("unlink");
    fs::hard_link(maker.top.join(format!("{}/layer.tar", "0".repeat(64))), maker.top.join(&second)).expect("link");
    assert_eq!(contents(&bench.one(&bench.tar("d", ""))), [b"base", b"base"]);
    let first = maker.top.join(format!("{}/layer.tar", "0".repeat(64)));
    run(std::process::Command::new("gzip").arg("-f").arg(&first));
    fs::copy(first.with_extension("tar.gz"), &first).expect("copy");
    let image = bench.one(&bench.tar("d", ""));
    assert_eq!(contents(&image), [b"base", b"base"]);
    assert_eq!(image.layers[0].descriptor.size, 4, "sizes are those without compression");
}

#[test]
fn one_image_listed_twice_has_all_names() {
    let bench = Bench::new();
    let maker = old_form(&bench, "d", &[b"base"]);
    rewrite(&maker, |list| {
        let mut again = list[0].clone();
        again["RepoTags"] = json!(["y:1"]);
        let mut unnamed = list[0].clone();
        unnamed["RepoTags"] = Value::Null;
        list.as_array_mut().expect("a list").extend([again, unnamed]);
    });
    let image = bench.one(&bench.tar("d", ""));
    assert_eq!(image.names, ["localhost/x:1", "docker.io/library/x:2", "localhost/y:1"]);
}

/// What makes an archive bad.
type Change = fn(&Maker);

#[test]
fn hostile_archives_are_refused() {
    let bench = Bench::new();
    let cases: &[(&str, Change, Kind, &str)] = &[
        ("a", |m| rewrite(m, |list| list[0]["Config"] = json!("../../etc/passwd")), Kind::Escape, "leads out"),
        ("b", |m| rewrite(m, |list| list[0]["Layers"][0] = json!("/etc/passwd")), Kind::Escape, "leads out"),
        ("c", |m| rewrite(m, |list| list[0]["Layers"] = json!([])), Kind::BadArchive, "speaks of 1"),
        ("d", |m| rewrite(m, |list| list[0]["RepoTags"] = json!(["x"])), Kind::BadArchive, "has no tag"),
        ("e", |m| rewrite(m, |list| list[0]["Layers"][0] = json!("nothing")), Kind::BadArchive, "no such file"),
        ("f", |m| rewrite(m, |list| *list = json!([])), Kind::BadArchive, "lists no image"),
        ("g", |m| m.file("manifest.json", b"{"), Kind::BadArchive, "can't be understood"),
        (
            "h",
            |m| {
                let layer = m.top.join(format!("{}/layer.tar", "0".repeat(64)));
                fs::remove_file(&layer).expect("unlink");
                symlink("../../../etc/passwd", &layer).expect("symlink");
            },
            Kind::Escape,
            "leads out",
        ),
        (
            "i",
            |m| {
                let config = format!("{}.json", "0".repeat(64));
                m.json(&config, &config_of_base());
                rewrite(m, |list| list[0]["Config"] = json!(config));
            },
            Kind::BadArchive,
            "its name says another",
        ),
    ];
    for (name, change, kind, words) in cases {
        let maker = old_form(&bench, name, &[b"base"]);
        change(&maker);
        let (found, text) = bench.refused(&bench.tar(name, ""));
        assert!(found == *kind && text.contains(words), "{name}: {found:?} {text}");
    }
    let (kind, text) = bench.refused(&bench.path("a"));
    assert!(kind == Kind::NotSupported && text.contains("tar file"), "a directory: {text}");
}

fn config_of_base() -> Value {
    config(&[b"base"])
}

#[test]
fn a_layer_that_is_not_what_the_config_says_fails_while_it_is_read() {
    let bench = Bench::new();
    let maker = old_form(&bench, "d", &[b"base"]);
    maker.file(&format!("{}/layer.tar", "0".repeat(64)), b"bose");
    let image = bench.one(&bench.tar("d", ""));
    let error = all(image.layers[0].open().expect("open")).expect_err("altered").to_string();
    assert!(error.contains("has the digest"), "{error}");
}
