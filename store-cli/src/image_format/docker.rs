//! Reading a docker archive.
//!
//! ```text
//! manifest.json         the images: a config, names and layers each, as paths in the archive
//! HEX.json              a config
//! HEX.tar, ID/layer.tar a layer; links from the one to the other, and to layers that stand there already
//! repositories          the names once more; not read
//! ```
//!
//! The archive has no manifest of the store's kind. That which podman makes up is made up here too, byte for byte: docker
//! schema 2, whose layers are called gzip but have the digests and sizes of the archives without compression. So the
//! image has the same digest, whoever loads it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;
use storage_core::{Result, Task};

use super::blob::Blob;
use super::digest::{Digest, is_hex};
use super::document::{Config, Descriptor, parse};
use super::files::{Files, inside};
use super::names::{NoTag, complete};
use super::oci::{MOST_IMAGES, check_memory, too_many};
use super::verify::read_document;
use super::{Image, Layer, Manifest, bad, media};

/// The list of images.
pub(super) const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Reads all images of the archive.
pub(super) fn read(files: &Arc<Files>, task: &Task) -> Result<Vec<Image>> {
    let list = files.find(MANIFEST)?.ok_or_else(|| bad("the docker archive has no manifest.json"))?;
    let items: Vec<Item> = parse(&read_document(&list)?, MANIFEST)?;
    if items.is_empty() {
        return Err(bad("manifest.json lists no image"));
    }
    if items.len() > MOST_IMAGES {
        return Err(too_many());
    }
    let mut images: Vec<Image> = Vec::new();
    let mut known = HashMap::new();
    for item in &items {
        let image = read_image(files, item, &mut known, task)?;
        match images.iter_mut().find(|other| other.manifest.digest == image.manifest.digest) {
            Some(other) => add_names(&mut other.names, image.names),
            None => images.push(image),
        }
        check_memory(&images)?;
    }
    Ok(images)
}

fn add_names(names: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// Layers that were looked at, by path and digest: a compressed one is read to learn its size, and that once is enough.
type Known = HashMap<(String, String), Blob>;

fn read_image(files: &Arc<Files>, item: &Item, known: &mut Known, task: &Task) -> Result<Image> {
    let mut names = Vec::new();
    for tag in item.repo_tags.iter().flatten() {
        add_names(&mut names, vec![complete(tag, NoTag::Refused)?]);
    }
    let paths = item.layers.as_deref().unwrap_or_default();
    let config = read_config(files, &item.config, paths.len())?;
    let mut layers = Vec::new();
    for (path, diff_id) in paths.iter().zip(&config.diff_ids) {
        task.step(0, 1)?;
        let path = inside("", path)?;
        let key = (path.clone(), diff_id.as_str().to_owned());
        let blob = match known.get(&key) {
            Some(blob) => blob.clone(),
            None => known.entry(key).or_insert(Blob::of_archive(files, path, diff_id, task)?).clone(),
        };
        let descriptor =
            Descriptor { media_type: media::DOCKER_LAYER_GZIP.to_owned(), digest: diff_id.clone(), size: blob.size() };
        layers.push(Layer { descriptor, diff_id: diff_id.clone(), blob });
    }
    let manifest = made_up(&config, &layers)?;
    Ok(Image { names, manifest, config, layers })
}

fn read_config(files: &Files, path: &str, layers: usize) -> Result<Config> {
    let path = inside("", path)?;
    let piece = files.find(&path)?.ok_or_else(|| bad("the image has no such file").at(&path))?;
    let bytes = read_document(&piece)?;
    let digest = Digest::of(&bytes)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".json").unwrap_or(name);
    if is_hex(stem) && stem != digest.hex() {
        return Err(bad(format!("the config has the digest {digest}, and its name says another")).at(&path));
    }
    Config::parse(bytes, digest, layers)
}

/// The manifest that podman makes up.
fn made_up(config: &Config, layers: &[Layer]) -> Result<Manifest> {
    let descriptor = |media_type: &str, size: u64, digest: &Digest| {
        format!(r#"{{"mediaType":"{media_type}","size":{size},"digest":"{digest}"}}"#)
    };
    let mut text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","config":"#, media::DOCKER_MANIFEST);
    text += &descriptor(media::DOCKER_CONFIG, config.bytes.len() as u64, &config.digest);
    let layers: Vec<String> = layers
        .iter()
        .map(|Layer { descriptor: known, .. }| descriptor(&known.media_type, known.size, &known.digest))
        .collect();
    let _ = write!(text, r#","layers":[{}]}}"#, layers.join(","));
    let digest = Digest::of(text.as_bytes())?;
    Ok(Manifest { bytes: text.into_bytes(), media_type: media::DOCKER_MANIFEST.to_owned(), digest })
}
