//! Reading an OCI image layout.
//!
//! ```text
//! oci-layout            {"imageLayoutVersion": "1.0.0"}
//! index.json            the images: manifests and lists of them, with names as annotations
//! blobs/sha256/HEX      manifests, configs and layers
//! ```
//!
//! Every entry of `index.json` is an image, but entries of one name with a platform each are one image, of which that
//! for this machine is read. An image that stands there several times has all the names.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use storage_core::{Error, Kind, Result, Task};

use super::blob::Blob;
use super::digest::Digest;
use super::document::{Config, Descriptor, Index, Listed, ManifestDocument, kind, parse};
use super::files::Files;
use super::names::{NoTag, complete};
use super::platform::{choose, this_architecture};
use super::verify::read_document;
use super::{Image, Layer, Manifest, bad, media, refused};

/// The file that says that there is a layout.
pub(super) const MARK: &str = "oci-layout";
/// The list of images.
pub(super) const INDEX: &str = "index.json";
/// The most images that are read of one source.
pub(super) const MOST_IMAGES: usize = 1000;
/// How many bytes the manifests and configs of all images may have together.
const MOST_DOCUMENTS: usize = 128 << 20;
/// How deep lists may stand in lists.
const MOST_NESTED: usize = 4;

#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// Whether `files` hold an image layout.
pub(super) fn is_layout(files: &Files) -> Result<bool> {
    Ok(files.find(MARK)?.is_some() || files.find(INDEX)?.is_some())
}

/// Reads all images of the layout.
pub(super) fn read(files: &Arc<Files>, task: &Task) -> Result<Vec<Image>> {
    check_mark(files)?;
    let index = files.find(INDEX)?.ok_or_else(|| bad("the image layout has no index.json"))?;
    let index: Index = parse(&read_document(&index)?, INDEX)?;
    if index.manifests.is_empty() {
        return Err(bad("index.json lists no image"));
    }
    let wanted = wanted(&index)?;
    if wanted.len() > MOST_IMAGES {
        return Err(too_many());
    }
    let mut images = Vec::new();
    for (entry, names) in wanted {
        images.push(read_image(files, &entry.descriptor, &names, task)?);
        check_memory(&images)?;
    }
    Ok(images)
}

/// Refuses more manifests and configs than are worth keeping in memory: many small entries may name one large document.
pub(super) fn check_memory(images: &[Image]) -> Result<()> {
    let bytes: usize = images.iter().map(|image| image.manifest.bytes.len() + image.config.bytes.len()).sum();
    if bytes <= MOST_DOCUMENTS {
        return Ok(());
    }
    Err(Error::new(Kind::TooLarge, "read image")
        .detail(format!("manifests and configs are more than {} MiB together", MOST_DOCUMENTS >> 20)))
}

pub(super) fn too_many() -> Error {
    Error::new(Kind::TooLarge, "read image").detail(format!("there are more than {MOST_IMAGES} images"))
}

/// Refuses layouts of a version to come.
pub(super) fn check_mark(files: &Files) -> Result<()> {
    let mark = files.find(MARK)?.ok_or_else(|| bad("the image layout has no file oci-layout"))?;
    let mark: Mark = parse(&read_document(&mark)?, MARK)?;
    if mark.version.starts_with("1.") {
        return Ok(());
    }
    Err(refused(format!("the image layout is of version {:?}, not 1", mark.version)))
}

/// The entries of the index that are images for this machine, each once, with their names as they stand there.
fn wanted(index: &Index) -> Result<Vec<(&Listed, Vec<&str>)>> {
    let mut found: Vec<(&Listed, Vec<&str>)> = Vec::new();
    let mut by_digest: BTreeMap<&Digest, usize> = BTreeMap::new();
    let mut add = |entry, name: Option<&'_ _>| {
        let entry: &Listed = entry;
        let at = *by_digest.entry(&entry.descriptor.digest).or_insert_with(|| {
            found.push((entry, Vec::new()));
            found.len() - 1
        });
        found[at].1.extend(name.copied());
    };
    let mut platforms: BTreeMap<Option<&str>, Vec<&Listed>> = BTreeMap::new();
    for entry in &index.manifests {
        let name = name(entry);
        if entry.platform.is_some() {
            platforms.entry(name).or_default().push(entry);
        } else {
            add(entry, name.as_ref());
        }
    }
    for (name, entries) in platforms {
        add(choose(&entries, this_architecture())?, name.as_ref());
    }
    Ok(found)
}

/// The name of an entry. What containerd writes is complete; beside it the standard's annotation may be a mere tag.
fn name(entry: &Listed) -> Option<&str> {
    let annotations = entry.annotations.as_ref()?;
    let names = [annotations.image_name.as_deref(), annotations.ref_name.as_deref()];
    names.into_iter().flatten().find(|name| !name.is_empty())
}

fn read_image(files: &Arc<Files>, listed: &Descriptor, names: &[&str], task: &Task) -> Result<Image> {
    let mut complete_names = Vec::new();
    for name in names {
        let name = complete(name, NoTag::Latest)?;
        if !complete_names.contains(&name) {
            complete_names.push(name);
        }
    }
    let manifest = find_manifest(files, listed.clone(), task)?;
    let what = format!("the manifest {}", manifest.digest);
    let document: ManifestDocument = parse(&manifest.bytes, &what)?;
    media::check_config(&document.config.media_type)?;
    let Descriptor { digest, size, .. } = &document.config;
    let bytes = Blob::of_layout(files, digest, *size)?.read()?;
    let config = Config::parse(bytes, digest.clone(), document.layers.len())?;
    let layers = document.layers.into_iter().zip(&config.diff_ids);
    let layers = layers.map(|(descriptor, diff_id)| read_layer(files, descriptor, diff_id)).collect::<Result<_>>()?;
    Ok(Image { names: complete_names, manifest, config, layers })
}

/// The manifest at the end of a chain of lists.
fn find_manifest(files: &Arc<Files>, mut listed: Descriptor, task: &Task) -> Result<Manifest> {
    for _ in 0..=MOST_NESTED {
        task.step(0, 1)?;
        let bytes = Blob::of_layout(files, &listed.digest, listed.size)?.read()?;
        let what = format!("the document {}", listed.digest);
        match kind(&bytes, &listed.media_type, &what)? {
            media::Document::Manifest => {
                return Ok(Manifest { media_type: own_type(&bytes, listed.media_type)?, bytes, digest: listed.digest });
            }
            media::Document::List => {
                let list: Index = parse(&bytes, &what)?;
                let entries: Vec<&Listed> = list.manifests.iter().collect();
                listed = choose(&entries, this_architecture())?.descriptor.clone();
            }
        }
    }
    Err(bad(format!("lists stand in lists more than {MOST_NESTED} deep")))
}

/// The media type of a manifest whose descriptor may not tell it.
fn own_type(bytes: &[u8], told: String) -> Result<String> {
    if !told.is_empty() {
        return Ok(told);
    }
    let value: serde_json::Value = parse(bytes, "the manifest")?;
    let own = value.get("mediaType").and_then(serde_json::Value::as_str).filter(|own| !own.is_empty());
    Ok(own.unwrap_or(media::OCI_MANIFEST).to_owned())
}

fn read_layer(files: &Arc<Files>, descriptor: Descriptor, diff_id: &Digest) -> Result<Layer> {
    media::check_layer(&descriptor.media_type)?;
    let blob = Blob::of_layout(files, &descriptor.digest, descriptor.size)?;
    Ok(Layer { descriptor, diff_id: diff_id.clone(), blob })
}
