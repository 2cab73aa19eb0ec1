//! Where the driver keeps what.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use storage_core::error::{OsContext, Result};
use storage_core::fs::TempDirs;
use storage_core::ids::LayerId;

/// The driver's home. Paths are resolved at every call: the reference mounts homes on themselves meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Home { root: root.into() }
    }

    /// Makes what is missing of the home.
    pub(crate) fn make(&self) -> Result<()> {
        make_dir(&self.layers())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of all layers.
    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("subvolumes")
    }

    /// The directory of one layer.
    pub(crate) fn layer(&self, id: &LayerId) -> PathBuf {
        self.layers().join(id.as_str())
    }

    /// The file with the limit of a layer.
    pub(crate) fn quota(&self, id: &LayerId) -> PathBuf {
        self.root.join("quotas").join(id.as_str())
    }

    /// Whether the layer has a place.
    pub(crate) fn has(&self, id: &LayerId) -> bool {
        std::fs::symlink_metadata(self.layer(id)).is_ok_and(|metadata| metadata.is_dir())
    }

    pub(crate) fn tempdirs(&self) -> TempDirs {
        TempDirs::new(self.root.join("tempdirs"))
    }

    /// The names of the layers' directories.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let layers = self.layers();
        let entries = match std::fs::read_dir(&layers) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).os("read directory", &layers),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.os("read directory", &layers)?;
            if entry.file_type().os("lstat", entry.path())?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Makes a directory and those above it, where they are missing.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).os("mkdir", path)
}
