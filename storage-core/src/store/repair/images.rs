//! Images whose records are lost, known again by their data: the manifest names the configuration, that names the layers.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::salvage::data_keys;
use super::{Repair, check};
use crate::archive::HashingWriter;
use crate::error::Result;
use crate::locks::ThreadKey;
use crate::store::big_data::file_name;
use crate::store::images::MANIFEST;
use crate::store::kept::Kept;
use crate::store::layers::LayerTable;
use crate::store::records::{Damaged, Edit, json};
use crate::store::rubbish::Rubbish;
use crate::store::{Image, Store};

/// What of a configuration counts.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    created: Option<String>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Repair<'_> {
    /// Makes records of the images whose data is there, without names: nothing tells them.
    pub(super) fn recall_images(&mut self, key: &mut ThreadKey) -> Result<()> {
        let store = self.store;
        let home = store.places.images(store.places.images_go_to());
        let layers = store.layers()?;
        let table = store.images.snapshot()?;
        let known: HashSet<String> = table.iter().map(|image| image.id.clone()).collect();
        let damaged: HashSet<String> = table.damaged().iter().filter_map(Damaged::id).collect();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&home).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let lost = check::is_made_for_an_item(&name) && !known.contains(&name) && !damaged.contains(&name);
            if lost && let Some(image) = store.recalled_image(&layers, &name, &entry.path()) {
                found.push(image);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let mut rubbish = Rubbish::of(store);
        let (mut guard, _key) = Image::write(store, key, &mut rubbish)?;
        let mut edit = Edit::of(guard.table());
        found.into_iter().filter(|image| guard.table().get(&image.id).is_none()).for_each(|image| edit.push(image));
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }
}

impl Store {
    /// The image `id` by its data; none when that doesn't tell it whole.
    fn recalled_image(&self, layers: &LayerTable, id: &str, home: &Path) -> Option<Image> {
        let read = |key: &str| std::fs::read(home.join(file_name(key).ok()?)).ok();
        let manifest: Value = serde_json::from_slice(&read(MANIFEST)?).ok()?;
        let config_digest = manifest.get("config")?.get("digest")?.as_str()?.to_owned();
        if config_digest.strip_prefix("sha256:")? != id {
            return None;
        }
        let config: Config = serde_json::from_slice(&read(&config_digest)?).ok()?;
        let mut image = Image {
            id: id.to_owned(),
            layer: top_of(layers, &config.rootfs.diff_ids)?,
            created: config.created.unwrap_or_else(json::now),
            location: self.places.images_go_to(),
            ..Image::default()
        };
        for key in data_keys(home) {
            let bytes = read(&key)?;
            let mut hashing = HashingWriter::new(std::io::sink());
            std::io::Write::write_all(&mut hashing, &bytes).ok()?;
            let (_, digest, size) = hashing.finish();
            image.describe_data(&key, size as i64, &digest);
        }
        Some(image)
    }
}

/// The layer on which a chain of these digests, the base first, ends.
fn top_of(layers: &LayerTable, digests: &[String]) -> Option<String> {
    let mut tops: Vec<String> = vec![String::new()];
    for digest in digests {
        let is_next = |parent: &str, tops: &[String]| tops.iter().any(|top| top == parent);
        tops = layers
            .iter()
            .filter(|layer| layer.diff_digest == *digest && is_next(&layer.parent, &tops))
            .map(|layer| layer.id.clone())
            .collect();
    }
    tops.into_iter().next()
}
