//! An image that was read becomes one of the store, as podman makes it.
//!
//! * id: the digits of the config's digest.
//! * big data, in this order: the config under its digest, the manifest under `manifest-DIGEST` and `manifest`, and the
//!   signatures, of which there are none, under `signature-DIGITS`.
//! * Layers: see [`Store::import_chain`]. All of them are leased until the image is there; when it fails, those that were
//!   made go again, and when the process dies, the next writer takes them away.
//! * A name is taken from the image that had it.
//! * An image that is there gets the names and, if it is another one, the manifest besides its own.

use std::sync::Arc;

use serde::Serialize;
use storage_core::store::{
    ChainLayer, Chained, Image as Record, Lease, NameOwners, NewData, NewImage, Origin, Sight, reference_time,
};
use storage_core::{Error, Kind, LayerId, Result, Task};

use crate::engine::{ItemKind, NameChange, Store, ThreadKey};
use crate::image_format::{Digest, Image};
use crate::output::complain;

/// An image that is in the store now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Loaded {
    pub(crate) id: String,
    names: Vec<String>,
    /// That of the manifest that was read.
    digest: String,
    media_type: String,
    /// From the bottom up.
    layers: Vec<LoadedLayer>,
}

#[derive(Debug, Serialize)]
struct LoadedLayer {
    id: String,
    /// It was there already.
    reused: bool,
}

impl Loaded {
    fn new(image: &Record, read: &Image, chain: Vec<Chained>) -> Self {
        let layer = |Chained { id, origin }| LoadedLayer { id, reused: origin == Origin::Found };
        Loaded {
            id: image.id.clone(),
            names: image.names.clone(),
            digest: read.manifest.digest.to_string(),
            media_type: read.manifest.media_type.clone(),
            layers: chain.into_iter().map(layer).collect(),
        }
    }
}

/// Makes `image` one of the store. On failure the store is as before.
pub(crate) fn bring_in(store: &Store, key: &mut ThreadKey, image: &Image, task: &Task) -> Result<Loaded> {
    let created = created(image)?;
    let mut lease = store.lease()?;
    match put(store, key, &mut lease, image, created, task) {
        Ok(loaded) => {
            lease.finish();
            Ok(loaded)
        }
        Err(error) => {
            // What can't be taken back now is taken back by the next writer.
            if let Err(further) = lease.give_up(key) {
                complain(further);
            }
            Err(error)
        }
    }
}

fn put(
    store: &Store,
    key: &mut ThreadKey,
    lease: &mut Lease<'_>,
    image: &Image,
    created: Option<String>,
    task: &Task,
) -> Result<Loaded> {
    if let Some(chain) = whole_chain(&store.sight()?, image) {
        for layer in &chain {
            lease.keep(key, &layer.id)?;
        }
        return Ok(Loaded::new(&*enrich(store, key, image)?, image, chain));
    }
    let openers: Vec<_> = image.layers.iter().map(|layer| || layer.open()).collect();
    let layers = image.layers.iter().zip(&openers).map(|(layer, open)| ChainLayer {
        digest: layer.descriptor.digest.as_str(),
        diff_digest: layer.diff_id.as_str(),
        open,
    });
    let chain = store.import_chain(key, lease, &layers.collect::<Vec<_>>(), task)?;
    let top = chain.last().map(|layer| layer.id.clone()).unwrap_or_default();
    let made = match store.create_image(key, &record(image, &top, created)?) {
        Err(error) if error.kind() == Kind::DuplicateId => {
            check_top(store, image, &top)?;
            enrich(store, key, image)?
        }
        other => other?,
    };
    Ok(Loaded::new(&made, image, chain))
}

/// The layers of the image of this id, when there is one and they are those that it must have.
fn whole_chain(sight: &Sight, image: &Image) -> Option<Vec<Chained>> {
    let there = find(sight, image.id())?;
    let mut chain = Vec::new();
    let mut next = there.layer.as_str();
    for diff_id in image.config.diff_ids.iter().rev() {
        let (_, layer) = sight.layer_by_id(next).filter(|(_, layer)| layer.diff_digest == diff_id.as_str())?;
        chain.push(Chained { id: layer.id.clone(), origin: Origin::Found });
        next = &layer.parent;
    }
    chain.reverse();
    next.is_empty().then_some(chain)
}

fn find<'s>(sight: &'s Sight, id: &str) -> Option<&'s Record> {
    sight.images.iter().find_map(|images| images.get(id)).map(|image| &**image)
}

/// Fails unless the image of this id has the top layer `top`.
fn check_top(store: &Store, image: &Image, top: &str) -> Result<()> {
    match find(&store.sight()?, image.id()) {
        Some(there) if there.layer != top => Err(Error::new(Kind::DuplicateId, "load image")
            .detail(format!("there is an image {} with other layers", image.id()))
            .remedy("delete it, then load again")),
        _ => Ok(()),
    }
}

/// Gives the image of this id, which is there, what it hasn't yet.
fn enrich(store: &Store, key: &mut ThreadKey, image: &Image) -> Result<Arc<Record>> {
    let id = image.id();
    let there = store.sight()?.image(id, "load image")?.1.clone();
    let has = |data: &NewData, digest: &str| there.big_data_digests.get(&data.name).is_some_and(|own| own == digest);
    for data in data_of(image) {
        if !has(&data, Digest::of(&data.bytes)?.as_str()) {
            store.set_data(key, ItemKind::Image, id, &data.name, &mut data.bytes.as_slice())?;
        }
    }
    let metadata = metadata_of(image);
    if there.metadata != metadata {
        store.set_metadata(key, id, &metadata)?;
    }
    if !image.names.iter().all(|name| there.names.contains(name)) {
        store.change_names(key, id, NameChange::Add, &image.names)?;
    }
    Ok(store.sight()?.image(id, "load image")?.1.clone())
}

fn record(image: &Image, top: &str, created: Option<String>) -> Result<NewImage> {
    Ok(NewImage {
        id: Some(LayerId::for_new(image.id())?),
        names: image.names.clone(),
        name_owners: NameOwners::Lose,
        layer: Some(top.to_owned()),
        metadata: metadata_of(image),
        digest: image.manifest.digest.to_string(),
        created,
        data: data_of(image),
        ..NewImage::default()
    })
}

/// When the image was made; none when it doesn't say, or says that nobody knows.
fn created(image: &Image) -> Result<Option<String>> {
    let Some(created) = image.config.created.as_deref() else { return Ok(None) };
    let time = reference_time(created).map_err(|error| {
        let detail = format!("the config {} says that it was made at {created:?}", image.config.digest);
        Error::new(Kind::BadArchive, "read image").detail(detail).because(error)
    })?;
    Ok(Some(time).filter(|time| time != NEVER))
}

/// The time that stands for none.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn data_of(image: &Image) -> Vec<NewData> {
    let manifest = &image.manifest;
    let item = |name: String, bytes: &[u8]| NewData { name, bytes: bytes.to_vec() };
    vec![
        item(image.config.digest.to_string(), &image.config.bytes),
        item(format!("manifest-{}", manifest.digest), &manifest.bytes),
        item("manifest".to_owned(), &manifest.bytes),
        item(format!("signature-{}", manifest.digest.hex()), b""),
    ]
}

fn metadata_of(image: &Image) -> String {
    format!(r#"{{"signatures-sizes":{{"{}":[]}}}}"#, image.manifest.digest)
}
