//! Images as files: what `lamina load` reads and `lamina save` writes. The store knows nothing of these formats.
//!
//! | format | read | written |
//! |---|---|---|
//! | OCI image layout, a directory | yes | yes |
//! | OCI image layout in a tar archive | yes; compressed and from a pipe too | yes; into a pipe too |
//! | docker archive (`docker save`), a tar archive | yes; compressed and from a pipe too | no |
//!
//! What is read is untrusted. Manifests and configs are checked against their digests before anything in them is
//! believed; layers while they are read ([`Layer::open`]). A digest becomes part of a path only as a [`Digest`], and no
//! path or link leads out of the directory or archive. The bytes of manifests and configs are never written anew.
//!
//! | media type | is | read as |
//! |---|---|---|
//! | `application/vnd.oci.image.index.v1+json`, `application/vnd.docker.distribution.manifest.list.v2+json` | a list | the entry for this machine |
//! | `application/vnd.oci.image.manifest.v1+json`, `application/vnd.docker.distribution.manifest.v2+json` | a manifest | an image |
//! | `application/vnd.docker.distribution.manifest.v1+json`, `…v1+prettyjws` | an old manifest | refused |
//! | `application/vnd.oci.image.config.v1+json`, `application/vnd.docker.container.image.v1+json` | a config | an image's |
//! | any other config | an artifact | refused |
//! | `application/vnd.oci.image.layer.v1.tar`, `…tar+gzip`, `…tar+zstd` | a layer | itself |
//! | `application/vnd.docker.image.rootfs.diff.tar`, `…tar.gzip`, `…tar.zstd` | a layer | itself |
//! | `application/vnd.oci.image.layer.nondistributable.v1.tar…`, `…docker.image.rootfs.foreign.diff.tar.gzip` | data kept elsewhere | refused |
//! | anything `…+encrypted` | an encrypted layer | refused |

mod archive;
mod blob;
mod digest;
mod directory;
mod docker;
mod document;
mod files;
mod load;
pub(crate) mod media;
mod names;
mod oci;
mod platform;
pub(crate) mod save;
mod spool;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use blob::Blob;
pub(crate) use digest::Digest;
pub(crate) use document::{Config, Descriptor};
pub(crate) use load::{Source, read_images};

use storage_core::{Error, Kind, Result};

/// An image as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Complete names, as podman would give them to the image: `localhost/x:latest` for `x`.
    pub(crate) names: Vec<String>,
    pub(crate) manifest: Manifest,
    pub(crate) config: Config,
    /// From the bottom up.
    pub(crate) layers: Vec<Layer>,
}

/// A manifest: the bytes that were found, or those that podman makes up where a format has none.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
}

/// A layer of an image.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    /// As it stands in the manifest.
    pub(crate) descriptor: Descriptor,
    /// The digest of its archive without compression.
    pub(crate) diff_id: Digest,
    blob: Blob,
}

impl Image {
    /// The id that the reference gives to the image: the digits of its config's digest.
    pub(crate) fn id(&self) -> &str {
        self.config.digest.hex()
    }
}

impl Layer {
    /// Its bytes as the manifest describes them. Every reader is independent of the others and checks size and digest:
    /// the last bytes come only when both are right, so what was read to its end is what the manifest means.
    pub(crate) fn open(&self) -> Result<Box<dyn std::io::Read + Send>> {
        self.blob.open()
    }
}

/// An image that can't be understood.
fn bad(detail: impl Into<String>) -> Error {
    Error::new(Kind::BadArchive, "read image").detail(detail)
}

/// An image of a kind that this version doesn't read.
fn refused(detail: impl Into<String>) -> Error {
    Error::new(Kind::NotSupported, "read image").detail(detail)
}
