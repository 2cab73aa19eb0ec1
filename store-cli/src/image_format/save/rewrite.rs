//! Manifests that fit the layers that are written.
//!
//! The store keeps a layer's content, not the bytes that its compression once had. When what is written has another
//! digest than the manifest says, or the manifest is docker's, a manifest is made of the old one: the same config, the
//! same number of layers, the OCI's media types, and the digests and sizes of what is written. Annotations of the image
//! stay; those of a layer stay with its bytes, since they may speak of them (as those of zstd:chunked do).

use serde_json::{Map, Value, json};
use storage_core::archive::Compression;
use storage_core::{Error, Kind, Result};

use super::{Document, OutgoingLayer};
use crate::image_format::document::{Descriptor, ManifestDocument, kind, parse};
use crate::image_format::{bad, media};

/// The bytes of the manifest that is written for `manifest`: itself where it fits.
pub(super) fn fit(manifest: &[u8], config: &Document, layers: &[OutgoingLayer]) -> Result<Vec<u8>> {
    let what = "the manifest";
    if kind(manifest, "", what)? != media::Document::Manifest {
        return Err(bad("a list of manifests can't be written as an image"));
    }
    let document: ManifestDocument = parse(manifest, what)?;
    media::check_config(&document.config.media_type)?;
    if document.config.digest != config.digest {
        return Err(bad(format!("the manifest is of the config {}, not {}", document.config.digest, config.digest)));
    }
    if document.layers.len() != layers.len() {
        return Err(bad(format!("the manifest has {} layers, not {}", document.layers.len(), layers.len())));
    }
    let mut value: Map<String, Value> = parse(manifest, what)?;
    let fits = |(old, new): (&Descriptor, &OutgoingLayer)| old.digest == new.digest && old.size == new.size;
    let is_oci = document.config.media_type == media::OCI_CONFIG
        && value.get("mediaType").is_none_or(|own| own == media::OCI_MANIFEST);
    if is_oci && document.layers.iter().zip(layers).all(fits) {
        return Ok(manifest.to_vec());
    }
    value.insert("mediaType".into(), media::OCI_MANIFEST.into());
    value.insert("config".into(), described(media::OCI_CONFIG, config.digest.as_str(), config.bytes.len() as u64));
    let old_layers = value.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
    let new_layers = old_layers.iter().zip(layers).map(|(old, new)| fit_layer(old, new)).collect::<Result<_>>()?;
    value.insert("layers".into(), Value::Array(new_layers));
    let failed = |source| Error::new(Kind::Io, "write manifest").because(source);
    serde_json::to_vec(&value).map_err(failed)
}

fn fit_layer(old: &Value, new: &OutgoingLayer) -> Result<Value> {
    let media_type = match new.compression {
        Compression::None => media::OCI_LAYER,
        Compression::Gzip => media::OCI_LAYER_GZIP,
        Compression::Zstd => media::OCI_LAYER_ZSTD,
        other @ (Compression::Bzip2 | Compression::Xz) => {
            return Err(Error::new(Kind::NotSupported, "write image")
                .detail(format!("a layer with {other} has no media type"))
                .remedy("write it with gzip, zstd or none"));
        }
    };
    let mut layer = described(media_type, new.digest.as_str(), new.size);
    let same = old.get("digest").is_some_and(|digest| digest == new.digest.as_str());
    if let (true, Some(annotations)) = (same, old.get("annotations")) {
        layer["annotations"] = annotations.clone();
    }
    Ok(layer)
}

fn described(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_format::Digest;

    fn layer(data: &[u8], compression: Compression) -> OutgoingLayer {
        OutgoingLayer { digest: Digest::of(data).expect("digest"), size: data.len() as u64, compression }
    }

    fn config() -> Document {
        Document::new(b"{}".to_vec()).expect("digest")
    }

    fn manifest(of: &str, config_type: &str, layer_type: &str, layer: &OutgoingLayer) -> Vec<u8> {
        let mut old = described(layer_type, layer.digest.as_str(), layer.size);
        old["annotations"] = json!({"about": "the bytes"});
        let config = described(config_type, config().digest.as_str(), 2);
        // Blanks that a rewriting would lose.
        let value =
            json!({"schemaVersion": 2, "mediaType": of, "config": config, "layers": [old], "annotations": {"a": "b"}});
        format!("{value:#}\n").into_bytes()
    }

    #[test]
    fn a_manifest_that_fits_keeps_every_byte() {
        let layer = layer(b"data", Compression::Gzip);
        let bytes = manifest(media::OCI_MANIFEST, media::OCI_CONFIG, media::OCI_LAYER_GZIP, &layer);
        assert_eq!(fit(&bytes, &config(), &[layer]).expect("fits"), bytes);
    }

    #[test]
    fn other_layers_give_another_manifest_of_the_same_config() {
        let (old, new) = (layer(b"data", Compression::Gzip), layer(b"other", Compression::None));
        let bytes = manifest(media::OCI_MANIFEST, media::OCI_CONFIG, media::OCI_LAYER_GZIP, &old);
        let fitted: Value =
            serde_json::from_slice(&fit(&bytes, &config(), std::slice::from_ref(&new)).expect("fit")).expect("JSON");
        assert_eq!(fitted["layers"], json!([described(media::OCI_LAYER, new.digest.as_str(), 5)]), "no annotations");
        assert_eq!(fitted["config"]["digest"], config().digest.as_str());
        assert_eq!(fitted["annotations"], json!({"a": "b"}));
    }

    #[test]
    fn types_of_docker_become_those_of_the_oci() {
        let layer = layer(b"data", Compression::None);
        let bytes = manifest(media::DOCKER_MANIFEST, media::DOCKER_CONFIG, media::DOCKER_LAYER_GZIP, &layer);
        let fitted: Value = serde_json::from_slice(&fit(&bytes, &config(), &[layer]).expect("fit")).expect("JSON");
        assert_eq!(fitted["mediaType"], media::OCI_MANIFEST);
        assert_eq!(fitted["config"]["mediaType"], media::OCI_CONFIG);
        assert_eq!(fitted["layers"][0]["mediaType"], media::OCI_LAYER, "the type says what the data is");
        assert_eq!(fitted["layers"][0]["annotations"], json!({"about": "the bytes"}), "the bytes are the same");
    }

    #[test]
    fn what_belongs_to_another_image_is_refused() {
        let layer = layer(b"data", Compression::Gzip);
        let bytes = manifest(media::OCI_MANIFEST, media::OCI_CONFIG, media::OCI_LAYER_GZIP, &layer);
        let other = Document::new(b"{ }".to_vec()).expect("digest");
        assert!(fit(&bytes, &other, std::slice::from_ref(&layer)).is_err(), "another config");
        assert!(fit(&bytes, &config(), &[]).is_err(), "another number of layers");
        let xz = OutgoingLayer { compression: Compression::Xz, size: 9, ..layer };
        assert_eq!(fit(&bytes, &config(), &[xz]).map_err(|error| error.kind()), Err(Kind::NotSupported));
    }
}
