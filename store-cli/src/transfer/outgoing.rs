//! Images of the store, to be written.
//!
//! Layers go out without compression, byte for byte as they came in but for that; or compressed anew, which needs a copy
//! aside because a digest must be known before it is written. See [`crate::image_format::save`] for what becomes of the
//! manifest.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use storage_core::store::{Image, Layer, Sight};
use storage_core::{Error, Kind, Result, Task};

use crate::engine::{Compression, DiffOptions, ItemKind, Store, ThreadKey};
use crate::image_format::save::{Compressed, Outgoing, OutgoingLayer};
use crate::image_format::{Config, Digest, complete_name};

/// How layers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'p> {
    pub(crate) compression: Compression,
    /// Where copies are made.
    pub(crate) place: &'p Path,
}

/// Images that are to be written, and where their layers come from.
#[derive(Debug, Default)]
pub(crate) struct Shipment {
    pub(crate) images: Vec<Outgoing>,
    pub(crate) told: Vec<Told>,
    pub(crate) layers: Layers,
    /// The layers that are known already, by their id.
    known: BTreeMap<String, OutgoingLayer>,
}

/// What is told of an image.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    id: String,
    names: Vec<String>,
}

/// Where the data of layers comes from.
#[derive(Debug, Default)]
pub(crate) struct Layers(BTreeMap<Digest, Source>);

#[derive(Debug)]
enum Source {
    /// The layer's own archive.
    Layer(String),
    /// A copy.
    Copy(Compressed),
}

impl Shipment {
    /// Adds the image called `wanted`: with that name, or, when it is called by its id, with all that it has.
    pub(crate) fn add(
        &mut self,
        store: &Store,
        key: &mut ThreadKey,
        wanted: &str,
        way: Way<'_>,
        task: &Task,
    ) -> Result<()> {
        let sight = store.sight()?;
        let (image, names) = find(&sight, wanted)?;
        if let Some(at) = self.told.iter().position(|told| told.id == image.id) {
            let more: Vec<_> = names.into_iter().filter(|name| !self.told[at].names.contains(name)).collect();
            self.told[at].names.extend(more.iter().cloned());
            self.images[at].names.extend(more);
            return Ok(());
        }
        let about = |error: Error| error.detail(format!("in the image {}", image.id));
        let outgoing = self.describe(store, key, &sight, &image, names.clone(), way, task).map_err(about)?;
        self.images.push(outgoing);
        self.told.push(Told { id: image.id.clone(), names });
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one caller, which has all of them at hand")]
    fn describe(
        &mut self,
        store: &Store,
        key: &mut ThreadKey,
        sight: &Sight,
        image: &Image,
        names: Vec<String>,
        way: Way<'_>,
        task: &Task,
    ) -> Result<Outgoing> {
        let manifest = store.data(ItemKind::Image, &image.id, "manifest")?;
        let digest = config_digest(&manifest)?;
        let bytes = store.data(ItemKind::Image, &image.id, digest.as_str())?;
        let chain = chain(sight, image)?;
        let config = Config::parse(bytes, digest, chain.len())?;
        let mut layers = Vec::new();
        for (layer, diff_id) in chain.into_iter().zip(&config.diff_ids) {
            layers.push(self.layer(store, key, layer, diff_id, way, task)?);
        }
        Ok(Outgoing { names, manifest, config: config.bytes, layers })
    }

    fn layer(
        &mut self,
        store: &Store,
        key: &mut ThreadKey,
        layer: &Layer,
        diff_id: &Digest,
        way: Way<'_>,
        task: &Task,
    ) -> Result<OutgoingLayer> {
        if !layer.diff_digest.is_empty() && layer.diff_digest != diff_id.as_str() {
            return Err(Error::new(Kind::Corrupt, "save image").detail(format!(
                "layer {} has the diff digest {}, and the config says {diff_id}",
                layer.id, layer.diff_digest
            )));
        }
        if let Some(known) = self.known.get(&layer.id) {
            return Ok(known.clone());
        }
        let size = u64::try_from(layer.diff_size).ok().filter(|_| !layer.diff_digest.is_empty());
        let (outgoing, source) = match (way.compression, size) {
            (Compression::None, Some(size)) => {
                let outgoing = OutgoingLayer { digest: diff_id.clone(), size, compression: Compression::None };
                (outgoing, Source::Layer(layer.id.clone()))
            }
            (compression, _) => {
                let copy = Compressed::make(compression, way.place, |out| stream(store, key, &layer.id, out, task))?;
                (copy.layer().clone(), Source::Copy(copy))
            }
        };
        self.layers.0.insert(outgoing.digest.clone(), source);
        self.known.insert(layer.id.clone(), outgoing.clone());
        Ok(outgoing)
    }
}

impl Layers {
    /// Writes the data of a layer.
    pub(crate) fn fetch(
        &mut self,
        store: &Store,
        key: &mut ThreadKey,
        layer: &OutgoingLayer,
        out: &mut (dyn Write + Send),
        task: &Task,
    ) -> Result<()> {
        match self.0.get_mut(&layer.digest) {
            Some(Source::Layer(id)) => stream(store, key, id, out, task),
            Some(Source::Copy(copy)) => copy.write_to(out, task),
            None => Err(Error::new(Kind::NotFound, "save image").detail(format!("no layer is {}", layer.digest))),
        }
    }
}

fn stream(store: &Store, key: &mut ThreadKey, layer: &str, out: &mut (dyn Write + Send), task: &Task) -> Result<()> {
    store.diff(key, layer, None, DiffOptions { compression: Some(Compression::None) }, out, task)
}

/// The image called `wanted`, by a name that may be short, or by its id; and the names that it is written with.
fn find(sight: &Sight, wanted: &str) -> Result<(Arc<Image>, Vec<String>)> {
    let found = sight.image(wanted, "save image").or_else(|unknown| {
        let complete = complete_name(wanted).map_err(|_| Error::new(Kind::ImageUnknown, "save image"));
        complete.and_then(|name| sight.image(&name, "save image")).map_err(|_| unknown)
    });
    let image = Arc::clone(found?.1);
    let complete = complete_name(wanted).unwrap_or_default();
    let called = image.names.iter().find(|name| *name == wanted || **name == complete).cloned();
    let names = called.map_or_else(|| image.names.clone(), |name| vec![name]);
    Ok((image, names))
}

/// The layers of an image, from the bottom up.
fn chain<'s>(sight: &'s Sight, image: &Image) -> Result<Vec<&'s Layer>> {
    let mut chain: Vec<&Layer> = Vec::new();
    let mut next = image.layer.as_str();
    while !next.is_empty() {
        let layer = sight.layer_by_id(next).filter(|_| chain.iter().all(|above| above.id != next));
        let layer = layer
            .ok_or_else(|| Error::new(Kind::Corrupt, "save image").detail(format!("its layer {next} is missing")))?;
        chain.push(layer.1);
        next = &layer.1.parent;
    }
    chain.reverse();
    Ok(chain)
}

fn config_digest(manifest: &[u8]) -> Result<Digest> {
    let value: serde_json::Value = serde_json::from_slice(manifest)
        .map_err(|source| Error::new(Kind::Corrupt, "save image").detail(format!("its manifest: {source}")))?;
    let digest = value.pointer("/config/digest").and_then(serde_json::Value::as_str);
    Digest::parse(digest.ok_or_else(|| {
        Error::new(Kind::NotSupported, "save image").detail("its manifest is that of no single image")
    })?)
}
