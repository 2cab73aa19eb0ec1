//! Stores that are only read: their layers and images can be used here and not changed.
//!
//! ```text
//! ADDITIONAL/<driver>-layers/layers.json
//! ADDITIONAL/<driver>-images/images.json
//! ADDITIONAL/<driver>/                     the layers' trees
//! ```
//!
//! They are read by snapshot: nothing waits for them, nothing is written there, no lock file is needed. What they say is
//! untrusted: no link in them is followed out of them. A store that is named and isn't there, or may not be read, keeps the
//! own store from being opened, as with the reference. One whose records are damaged is as good as empty, and whoever asks
//! for something that isn't found elsewhere is told.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use rustix::io::Errno;

use super::images::ImageTable;
use super::layers::LayerTable;
use super::places::Places;
use super::records::Location;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath::open_in_store;
use crate::fs::probe::is_remote;
use crate::locks::{Flush, Kernel, RecordFile, Sight, Watched};

/// The bytes of a piece of big data that is read here must be fewer.
pub(super) const MOST_DATA: u64 = 128 << 20;

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
        let sight = if is_remote(root) { Sight::Delayed } else { Sight::Prompt };
        let world = Kernel::of_stranger(root).seeing(sight);
        Additional {
            layers: Watched::new(world.clone(), watch(places.layers().join(super::layers::FILES[0]))),
            images: Watched::new(world, watch(places.images(Location::Stable).join("images.json"))),
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

    /// Opens one of its files for reading: never one outside it, and never one that would make the reader wait.
    pub(super) fn open(&self, path: &Path) -> Result<File> {
        let file = open_in_store(&self.places.graph_root, path)?;
        if file.metadata().os("fstat", path)?.is_file() {
            return Ok(file);
        }
        Err(Error::new(Kind::NotSupported, "open data").at(path).detail("it is no regular file"))
    }

    /// As [`Additional::open`], for big data: what is too large to be that is refused.
    pub(super) fn open_data(&self, path: &Path) -> Result<File> {
        let file = self.open(path)?;
        let size = file.metadata().os("fstat", path)?.len();
        if size < MOST_DATA {
            return Ok(file);
        }
        Err(Error::new(Kind::NotSupported, "open data").at(path).detail(format!("{size} bytes are too many for data")))
    }

    /// Fails when the store isn't there, or may not be read: whoever named it counts on what is in it.
    pub(super) fn check(&self) -> Result<()> {
        let root = &self.places.graph_root;
        let named = |error: Error| {
            error
                .detail(format!("the additional image store {} can't be used", root.display()))
                .remedy("make it readable, or take it out of additionalimagestores or --storage-opt")
        };
        let usable = |path: &Path, access: Access| match rustix::fs::access(path, access) {
            Err(Errno::NOENT) if path != root => Ok(()),
            result => result.os("access", path).map_err(named),
        };
        if !std::fs::metadata(root).os("stat", root).map_err(named)?.is_dir() {
            return Err(named(Error::os("stat", root, Errno::NOTDIR)));
        }
        usable(root, Access::EXEC_OK)?;
        usable(&root.join(self.places.driver), Access::EXEC_OK)?;
        for file in [self.places.layer_files(), self.places.image_files()].iter().filter_map(|files| files.first()) {
            usable(file, Access::READ_OK)?;
        }
        Ok(())
    }
}
