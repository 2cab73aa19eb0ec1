//! Media types: their names, and which of them are read (the table is in the parent module's text).

use storage_core::Result;

use super::refused;

/// An OCI index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The config of an OCI image.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer, not compressed.
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer, with gzip.
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer, with zstd.
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A docker manifest list.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A docker manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The config of a docker image.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A docker layer, not compressed.
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A docker layer, with gzip.
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// A docker layer, with zstd.
pub(crate) const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

const LAYERS: [&str; 6] =
    [OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD];

/// What a document of an image layout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// It lists manifests or further lists.
    List,
    /// It describes one image.
    Manifest,
}

/// What the document with this media type is.
pub(super) fn document(media_type: &str) -> Result<Document> {
    match media_type {
        OCI_INDEX | DOCKER_LIST => Ok(Document::List),
        OCI_MANIFEST | DOCKER_MANIFEST => Ok(Document::Manifest),
        old if old.starts_with("application/vnd.docker.distribution.manifest.v1+") => {
            Err(refused(format!("the manifest is of docker's old schema 1 ({old})"))
                .remedy("convert the image with skopeo copy"))
        }
        other => Err(refused(format!("{other:?} is the media type of no image manifest"))),
    }
}

/// Refuses what is no config of an image.
pub(super) fn check_config(media_type: &str) -> Result<()> {
    match media_type {
        OCI_CONFIG | DOCKER_CONFIG => Ok(()),
        other => Err(refused(format!("its config is of type {other:?}: it is an artifact, not an image"))),
    }
}

/// Refuses a layer that isn't a plain archive.
pub(super) fn check_layer(media_type: &str) -> Result<()> {
    if LAYERS.contains(&media_type) {
        return Ok(());
    }
    Err(if media_type.ends_with("+encrypted") {
        refused(format!("a layer is encrypted ({media_type})")).remedy("decrypt the image with skopeo copy")
    } else if media_type.contains(".nondistributable.") || media_type.contains(".foreign.") {
        refused(format!("a layer is foreign, its data is kept elsewhere ({media_type})"))
    } else {
        refused(format!("a layer is of the unknown type {media_type:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_named() {
        for (media_type, words) in [
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign"),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign"),
            ("text/plain", "unknown type \"text/plain\""),
        ] {
            let error = check_layer(media_type).expect_err(media_type).to_string();
            assert!(error.contains(words) && error.contains(media_type), "{error}");
        }
        assert!(LAYERS.iter().all(|layer| check_layer(layer).is_ok()));
        let old = document("application/vnd.docker.distribution.manifest.v1+prettyjws").expect_err("schema 1");
        assert!(old.to_string().contains("schema 1"), "{old}");
    }
}
