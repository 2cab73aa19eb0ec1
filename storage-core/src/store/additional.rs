//! Stores that are only read: their layers and images can be used here and not changed.
//!
//! ```text
//! ADDITIONAL/<driver>-layers/layers.json
//! ADDITIONAL/<driver>-images/images.json
//! ADDITIONAL/<driver>/                     the layers' trees
//! ```
//!
//! They are read by snapshot: nothing waits for them, nothing is written there, no lock file is needed. What they say is
//! untrusted. One that can't be read is as good as empty for everybody who doesn't ask for what is in it; `check` names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::ImageTable;
use super::layers::LayerTable;
use super::places::Places;
use super::records::Location;
use crate::error::Result;
use crate::locks::{Flush, Kernel, RecordFile, Watched};

/// One additional store.
#[derive(Debug)]
pub(super) struct Additional {
    places: Places,
    layers: Watched<LayerTable, Kernel>,
    images: Watched<ImageTable, Kernel>,
}

impl Additional {
    /// The store at `root`, of which nothing is read yet.
    pub(super) fn new(root: &Path, driver: &'static str) -> Self {
        let places = Places {
            graph_root: root.to_path_buf(),
            run_root: PathBuf::new(),
            image_store: None,
            driver,
            transient: false,
        };
        let watch = |path: PathBuf| vec![RecordFile { path, flush: Flush::Nothing }];
        Additional {
            layers: Watched::new(Kernel::new(), watch(places.layers().join(super::layers::FILES[0]))),
            images: Watched::new(Kernel::new(), watch(places.images(Location::Stable).join("images.json"))),
            places,
        }
    }

    /// Its layers at one moment.
    pub(super) fn layers(&self) -> Result<Arc<LayerTable>> {
        self.layers.snapshot()
    }

    /// Its images at one moment.
    pub(super) fn images(&self) -> Result<Arc<ImageTable>> {
        self.images.snapshot()
    }

    /// Where its parts are.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}
