//! Images made by hand and by podman, read and written.

mod docker;
mod hostile;
mod layout;
mod peers;
mod saved;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use storage_core::{Kind, Result, Task};

use super::{Digest, Image, Source, media, read_images};

/// A directory for one test, with a place for copies of input.
pub(super) struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        // Short, since podman's directories below it must be.
        let directory = tempfile::Builder::new().prefix("li-").tempdir().expect("make a directory");
        fs::create_dir(directory.path().join("spool")).expect("mkdir");
        Bench { directory }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    pub(super) fn read(&self, path: &Path) -> Result<Vec<Image>> {
        read_images(Source::Path(path.to_owned()), &self.spool(), &Task::new("test"))
    }

    pub(super) fn stream(&self, bytes: Vec<u8>) -> Result<Vec<Image>> {
        read_images(Source::Stream(Box::new(std::io::Cursor::new(bytes))), &self.spool(), &Task::new("test"))
    }

    /// The only image at `path`.
    pub(super) fn one(&self, path: &Path) -> Image {
        let mut images = self.read(path).expect("read images");
        assert_eq!(images.len(), 1, "one image");
        images.remove(0)
    }

    /// What reading `path` is refused with.
    pub(super) fn refused(&self, path: &Path) -> (Kind, String) {
        let error = self.read(path).expect_err("refused");
        (error.kind(), error.to_string())
    }

    /// The directory `name` in an archive `name`.tar, compressed as the flag of tar says.
    pub(super) fn tar(&self, name: &str, flag: &str) -> PathBuf {
        let tar = self.path(&format!("{name}{flag}.tar"));
        let mut command = Command::new("tar");
        command.arg("-C").arg(self.path(name)).arg("-cf").arg(&tar);
        if !flag.is_empty() {
            command.arg(flag);
        }
        assert!(command.arg(".").status().expect("run tar").success());
        tar
    }
}

/// A layout or docker archive that grows in a directory.
pub(super) struct Maker {
    pub(super) top: PathBuf,
}

impl Maker {
    pub(super) fn layout(bench: &Bench, name: &str) -> Self {
        let maker = Maker { top: bench.path(name) };
        fs::create_dir_all(maker.top.join("blobs/sha256")).expect("mkdir");
        maker.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        maker
    }

    pub(super) fn plain(bench: &Bench, name: &str) -> Self {
        let maker = Maker { top: bench.path(name) };
        fs::create_dir(&maker.top).expect("mkdir");
        maker
    }

    pub(super) fn file(&self, path: &str, bytes: &[u8]) {
        let path = self.top.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        fs::write(path, bytes).expect("write");
    }

    pub(super) fn json(&self, path: &str, value: &Value) {
        self.file(path, value.to_string().as_bytes());
    }

    /// Writes a blob and describes it.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes).expect("digest");
        self.file(&digest.path(), bytes);
        json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
    }

    /// An image whose layers hold these bytes; describes its manifest.
    pub(super) fn image(&self, layers: &[&[u8]]) -> Value {
        let config = self.blob(media::OCI_CONFIG, config(layers).to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(media::OCI_LAYER, layer)).collect();
        self.manifest(&json!({"schemaVersion": 2, "config": config, "layers": layers}))
    }

    pub(super) fn manifest(&self, manifest: &Value) -> Value {
        self.blob(media::OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    pub(super) fn index(&self, entries: &[Value]) {
        self.json("index.json", &json!({"schemaVersion": 2, "manifests": entries}));
    }
}

/// A config of an image with these layers.
pub(super) fn config(layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).expect("digest").to_string()).collect();
    json!({
        "created": "2020-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

/// An entry of an index, with a name.
pub(super) fn named(mut entry: Value, name: &str) -> Value {
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

/// An entry of an index, for a machine.
pub(super) fn machine(mut entry: Value, os: &str, architecture: &str) -> Value {
    entry["platform"] = json!({"os": os, "architecture": architecture});
    entry
}

/// What the layers of an image hold.
pub(super) fn contents(image: &Image) -> Vec<Vec<u8>> {
    image.layers.iter().map(|layer| all(layer.open().expect("open a layer")).expect("read a layer")).collect()
}

pub(super) fn all(mut reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map(|_| bytes)
}

/// A program of this machine; without it the test says that it is skipped, and why.
pub(super) fn need(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing =
        programs.iter().find(|program| !std::env::split_paths(&path).any(|place| place.join(program).is_file()));
    if let Some(program) = missing {
        writeln!(std::io::stderr(), "SKIP {test}: {program} is not installed").expect("write to standard error");
    }
    missing.is_none()
}

/// Runs a program that must succeed, and gives its output.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("run a program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
