//! Image layouts for the tests: layers as trees, everything else as it follows from them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use storage_core::archive::HashingWriter;

/// A layout in a directory.
pub(crate) struct Layout {
    pub(crate) top: PathBuf,
}

/// A layer as a file.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    diff_id: String,
    media_type: &'static str,
}

impl Blob {
    /// A layer with this file, which has this content.
    pub(crate) fn plain(place: &Path, file: &str, content: &[u8]) -> Self {
        let tree = tempfile::tempdir_in(place).expect("make a directory");
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("make a directory");
        fs::write(path, content).expect("write a file");
        let mut tar = Command::new("tar");
        tar.args(["-c", "--owner=0", "--group=0", "--mtime=@1700000000", "--sort=name", "-C"]).arg(tree.path());
        let bytes = tar.arg(file.split('/').next().expect("a name")).output().expect("run tar").stdout;
        Blob { diff_id: digest(&bytes), bytes, media_type: "application/vnd.oci.image.layer.v1.tar" }
    }

    /// The same, compressed.
    pub(crate) fn gzip(self, place: &Path) -> Self {
        let path = place.join("to-compress");
        fs::write(&path, &self.bytes).expect("write a file");
        let bytes = Command::new("gzip").arg("-nc").arg(&path).output().expect("run gzip").stdout;
        Blob { bytes, media_type: "application/vnd.oci.image.layer.v1.tar+gzip", ..self }
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut hashing = HashingWriter::new(std::io::sink());
    hashing.write_all(bytes).expect("hash");
    hashing.finish().1
}

impl Layout {
    /// A layout with one image of this name.
    pub(crate) fn make(top: &Path, name: &str, layers: &[Blob]) -> Self {
        Self::make_with(top, name, layers, |_| {})
    }

    /// The same, whose config is changed first.
    pub(crate) fn make_with(top: &Path, name: &str, layers: &[Blob], change: impl FnOnce(&mut Value)) -> Self {
        let layout = Layout { top: top.to_path_buf() };
        fs::create_dir_all(top.join("blobs/sha256")).expect("make directories");
        fs::write(top.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).expect("write");
        let described = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": layout.put(bytes), "size": bytes.len()});
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let mut config = json!({
            "created": "2026-11-22T10:41:53.295638581Z", "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/bin/sh"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        change(&mut config);
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| described(layer.media_type, &layer.bytes)).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(top.join("index.json"), index.to_string()).expect("write");
        layout
    }

    fn put(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        fs::write(self.blob(&digest), bytes).expect("write a blob");
        digest
    }

    /// Where a blob stands.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.top.join("blobs/sha256").join(&digest["sha256:".len()..])
    }

    /// The layout as an archive.
    pub(crate) fn tar(&self) -> PathBuf {
        let path = self.top.with_extension("tar");
        let made = Command::new("tar").arg("-cf").arg(&path).arg("-C").arg(&self.top).arg(".").status();
        assert!(made.expect("run tar").success());
        path
    }

    pub(crate) fn path(&self) -> &str {
        self.top.to_str().expect("a path in UTF-8")
    }
}
