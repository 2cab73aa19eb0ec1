//! Where the driver keeps what.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::{TempDir, TempDirs};
use storage_core::ids::LayerId;

use crate::datasets::{Datasets, OURS};
use crate::listing::Dataset;

/// What separates our own name from the layer's, where the dataset was a layer before it was replaced.
const WAS: &str = ":was:";

/// The driver's home, with the datasets that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    pub(crate) datasets: Datasets,
}

impl Home {
    pub(crate) fn new(root: impl Into<PathBuf>, datasets: Datasets) -> Self {
        Home { root: root.into(), datasets }
    }

    /// Makes what is missing of the home.
    pub(crate) fn make(&self) -> Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root).os("mkdir", &self.root)
    }

    /// Where the layer is mounted.
    pub(crate) fn mount_point(&self, id: &LayerId) -> PathBuf {
        self.root.join("graph").join(id.as_str())
    }

    /// The dataset of a layer. Fails with [`Kind::NotFound`] when it has none.
    pub(crate) fn dataset(&self, id: &LayerId) -> Result<Dataset> {
        if is_ours(id.as_str()) {
            return Err(Error::new(Kind::NotFound, "find dataset").detail(format!("{id} can't be a layer")));
        }
        self.datasets.get(id.as_str())
    }

    pub(crate) fn tempdirs(&self) -> TempDirs {
        TempDirs::new(self.root.join("tempdirs"))
    }

    /// Whether somebody alive has the staging or trash place whose datasets and snapshots are called `ours`.
    pub(crate) fn is_held(&self, ours: &str) -> bool {
        let Some(suffix) = suffix_of(ours) else { return true };
        // Who makes a place makes its lock first, and a sweep takes the lock away with what is dead.
        self.tempdirs().root().join(format!("lock-{suffix}")).exists()
    }
}

/// Whether a name is that of a staging or trash place, not of a layer.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// What datasets and snapshots that belong to `place` are called.
pub(crate) fn name_of(place: &TempDir) -> String {
    let path = place.path();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{OURS}{}", name.strip_prefix("temp-dir-").unwrap_or(&name))
}

/// What the former content of a layer is called, in trash at `ours`.
pub(crate) fn former_name(ours: &str, id: &str) -> String {
    format!("{ours}{WAS}{id}")
}

/// The layer that a dataset in trash was before it was replaced.
pub(crate) fn former_layer(ours: &str) -> Option<&str> {
    ours.strip_prefix(OURS)?.split_once(WAS).map(|(_, id)| id)
}

fn suffix_of(ours: &str) -> Option<&str> {
    let rest = ours.strip_prefix(OURS)?;
    Some(rest.split_once(':').map_or(rest, |(suffix, _)| suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_tell_the_place_and_the_layer_that_was() {
        let former = former_name("lamina:123", "abc");
        assert_eq!(former, "lamina:123:was:abc");
        assert!(is_ours(&former) && !is_ours("lamina-123"));
        assert_eq!((former_layer(&former), suffix_of(&former)), (Some("abc"), Some("123")));
        assert_eq!((former_layer("lamina:123"), suffix_of("lamina:123")), (None, Some("123")));
    }
}
