//! The JSON of image formats, as much of it as is read.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage_core::Result;

use super::digest::Digest;
use super::{bad, media};

/// What one document says of another blob.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What the blob is.
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// An entry of a list: a manifest, or a further list.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    pub(super) descriptor: Descriptor,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: Option<Annotations>,
}

/// The annotations that name an image.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    pub(super) ref_name: Option<String>,
    #[serde(rename = "io.containerd.image.name")]
    pub(super) image_name: Option<String>,
}

/// The machine that an image is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    #[serde(default)]
    pub(super) variant: Option<String>,
}

/// A list of manifests.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Listed>,
}

/// A manifest of one image.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ManifestDocument {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// What tells a list from a manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

/// The config of an image.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    /// When the image was made, as the config says it.
    pub(crate) created: Option<String>,
    /// The digests of the layers without compression, from the bottom up.
    pub(crate) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct ConfigDocument {
    created: Option<String>,
    rootfs: Rootfs,
}

#[derive(Deserialize)]
struct Rootfs {
    diff_ids: Option<Vec<Digest>>,
}

/// Parses `bytes`, which are called `what` in errors.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| bad(format!("{what} can't be understood: {error}")))
}

/// Tells what a document is, and refuses one that could be read as something else than its descriptor says.
pub(super) fn kind(bytes: &[u8], media_type: &str, what: &str) -> Result<media::Document> {
    let outline: Outline = parse(bytes, what)?;
    if outline.schema_version != 2 {
        return Err(super::refused(format!("{what} has the schema version {}, not 2", outline.schema_version)));
    }
    let own = outline.media_type.as_deref().filter(|own| !own.is_empty());
    let told = Some(media_type).filter(|told| !told.is_empty());
    if let (Some(own), Some(told)) = (own, told)
        && own != told
    {
        return Err(bad(format!("{what} calls itself {own:?}, and its descriptor calls it {told:?}")));
    }
    let document = media::document(told.or(own).unwrap_or(media::OCI_MANIFEST))?;
    let mixed = match document {
        media::Document::List => outline.config.is_some() || outline.layers.is_some(),
        media::Document::Manifest => outline.manifests.is_some(),
    };
    if mixed { Err(bad(format!("{what} is a list and a manifest at once"))) } else { Ok(document) }
}

impl Config {
    /// Reads the config of an image with `layers` layers.
    pub(super) fn parse(bytes: Vec<u8>, digest: Digest, layers: usize) -> Result<Self> {
        let document: ConfigDocument = parse(&bytes, &format!("the config {digest}"))?;
        let diff_ids = document.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers {
            let detail = format!("the image has {layers} layers, and its config speaks of {}", diff_ids.len());
            return Err(bad(detail));
        }
        Ok(Config { bytes, digest, created: document.created, diff_ids })
    }
}
