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
        let layers = self.layers();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&layers).os("mkdir", &layers)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of all layers.
    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("dir")
    }

    /// The directory of one layer.
    pub(crate) fn layer(&self, id: &LayerId) -> PathBuf {
        self.layers().join(id.as_str())
    }

    /// Whether the layer has a place. Fails where that can't be told.
    pub(crate) fn has(&self, id: &LayerId) -> Result<bool> {
        let path = self.layer(id);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).os("lstat", path),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_looked_at_is_not_taken_for_lost() {
        let dir = tempfile::tempdir().expect("dir");
        let id = LayerId::from_store(&"a".repeat(64)).expect("id");
        let home = Home::new(dir.path().join("home"));
        assert!(!home.has(&id).expect("missing"));
        std::fs::create_dir_all(home.layer(&id)).expect("mkdir");
        assert!(home.has(&id).expect("there"));
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).expect("symlink");
        assert!(Home::new(dir.path().join("loop")).has(&id).is_err());
    }
}
