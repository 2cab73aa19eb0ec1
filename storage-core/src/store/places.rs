//! Where the parts of a store are.
//!
//! | | records | lock | data |
//! |---|---|---|---|
//! | layers | `GRAPHROOT/<driver>-layers`; those of images in `IMAGESTORE/<driver>-layers` | beside each | `GRAPHROOT/<driver>-layers` |
//! | volatile layers | `GRAPHROOT/<driver>-layers`; `RUNROOT/…` in a transient store | the layers' | the same |
//! | images | `GRAPHROOT/<driver>-images`, `IMAGESTORE/<driver>-images` | beside each | beside the record |
//! | containers | `GRAPHROOT/<driver>-containers`; `RUNROOT/…` in a transient store | beside the records | `GRAPHROOT/<driver>-containers` |

use std::path::{Path, PathBuf};

use super::layers;
use super::records::Location;
use crate::driver::Home;

/// The directories of one store.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) graph_root: PathBuf,
    pub(super) run_root: PathBuf,
    pub(super) image_store: Option<PathBuf>,
    pub(super) driver: &'static str,
    pub(super) transient: bool,
}

/// The names of the files of containers' records, in the order of [`Location`].
pub(super) const CONTAINER_FILES: [&str; 2] = ["containers.json", "volatile-containers.json"];

impl Places {
    fn home(&self, root: &Path, what: &str) -> PathBuf {
        root.join(format!("{}-{what}", self.driver))
    }

    /// `GRAPHROOT/<driver>-layers`.
    pub(super) fn layers(&self) -> PathBuf {
        self.home(&self.graph_root, "layers")
    }

    /// `RUNROOT/<driver>-layers`.
    pub(super) fn run_layers(&self) -> PathBuf {
        self.home(&self.run_root, "layers")
    }

    /// Where the record files of layers are, in the order of [`Location`].
    pub(super) fn layer_files(&self) -> Vec<PathBuf> {
        let volatile_home = if self.transient { self.run_layers() } else { self.layers() };
        let mut files = vec![self.layers().join(layers::FILES[0]), volatile_home.join(layers::FILES[1])];
        files.extend(self.image_store.iter().map(|root| self.home(root, "layers").join(layers::FILES[0])));
        files
    }

    /// The homes in which layers are made.
    pub(super) fn homes(&self) -> impl Iterator<Item = Home> + use<> {
        std::iter::once(Home::Own).chain(self.image_store.as_ref().map(|_| Home::ImageStore))
    }

    /// The lock files of layers, in the order in which they are taken.
    pub(super) fn layer_locks(&self) -> Vec<PathBuf> {
        let homes = std::iter::once(self.layers()).chain(self.image_store.iter().map(|root| self.home(root, "layers")));
        homes.map(|home| home.join("layers.lock")).collect()
    }

    /// The directory of the images whose records stand at `location`.
    pub(super) fn images(&self, location: Location) -> PathBuf {
        match (&self.image_store, location) {
            (Some(root), Location::ImageStore) => self.home(root, "images"),
            _ => self.home(&self.graph_root, "images"),
        }
    }

    /// `RUNROOT/<driver>-images`.
    pub(super) fn run_images(&self) -> PathBuf {
        self.home(&self.run_root, "images")
    }

    /// Where new images, and the layers that are made for images, go.
    pub(super) fn images_go_to(&self) -> Location {
        if self.image_store.is_some() { Location::ImageStore } else { Location::Stable }
    }

    /// Where the record files of images are, in the order of [`Location`]; images are never volatile.
    pub(super) fn image_files(&self) -> Vec<PathBuf> {
        let own = self.images(Location::Stable);
        let mut files = vec![own.join("images.json")];
        if self.image_store.is_some() {
            files.push(own.join("volatile-images.json"));
            files.push(self.images(Location::ImageStore).join("images.json"));
        }
        files
    }

    /// The lock files of images, in the order in which they are taken: that of the image store first.
    pub(super) fn image_locks(&self) -> Vec<PathBuf> {
        let separate = self.image_store.iter().map(|_| self.images(Location::ImageStore));
        separate.chain([self.images(Location::Stable)]).map(|home| home.join("images.lock")).collect()
    }

    /// `GRAPHROOT/<driver>-containers`.
    pub(super) fn containers(&self) -> PathBuf {
        self.home(&self.graph_root, "containers")
    }

    /// `RUNROOT/<driver>-containers`.
    pub(super) fn run_containers(&self) -> PathBuf {
        self.home(&self.run_root, "containers")
    }

    /// Where the records of containers are, and their lock.
    pub(super) fn container_records(&self) -> PathBuf {
        if self.transient { self.run_containers() } else { self.containers() }
    }

    /// Where the record files of containers are, in the order of [`Location`].
    pub(super) fn container_files(&self) -> Vec<PathBuf> {
        CONTAINER_FILES.iter().map(|name| self.container_records().join(name)).collect()
    }

    /// Which file the record of a new container goes to, and that of its layer.
    pub(super) fn containers_go_to(&self) -> Location {
        if self.transient { Location::Volatile } else { Location::Stable }
    }

    /// The same of a volatile container.
    ///
    /// Older versions of the reference (that of podman 4.3 is one) don't know the volatile files: they would delete the layers
    /// below such a container. So these files are used where a version that knows them has made them; elsewhere the
    /// record's flag alone says that the container is volatile, as with those versions.
    pub(super) fn volatile_containers_go_to(&self) -> Location {
        let known = self.container_files().get(Location::Volatile as usize).is_some_and(|file| file.exists());
        if known { Location::Volatile } else { self.containers_go_to() }
    }

    /// Where the records of containers of the other sort are: of a transient store, when this is none, and the reverse.
    pub(super) fn other_container_files(&self) -> Vec<PathBuf> {
        let home = if self.transient { self.containers() } else { self.run_containers() };
        CONTAINER_FILES.iter().map(|name| home.join(name)).collect()
    }

    /// Where the volatile layers of the other sort of store have their records.
    pub(super) fn other_volatile_layers(&self) -> PathBuf {
        let home = if self.transient { self.layers() } else { self.run_layers() };
        home.join(layers::FILES[1])
    }

    /// `RUNROOT/<driver>-locks`.
    pub(super) fn digest_locks(&self) -> PathBuf {
        self.home(&self.run_root, "locks")
    }
}
