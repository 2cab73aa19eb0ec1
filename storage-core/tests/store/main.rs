//! Images and containers through the library, with the copying driver: what the command can't show.

mod additional;
mod check;
mod containers;
mod gate;
mod images;
mod intents;

use std::path::PathBuf;
use std::sync::Arc;

use storage_core::driver::Registry;
use storage_core::locks::ThreadKey;
use storage_core::store::{Container, Image, NewContainer, NewImage, NewLayer, Store, StoreOptions};
use storage_core::{LayerId, Result, Task};
use storage_driver_vfs as _;

/// A store of one test, and the key of its thread.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) key: ThreadKey,
    directory: Arc<tempfile::TempDir>,
}

pub(crate) fn id(id: &str) -> LayerId {
    LayerId::for_new(id).expect("an id")
}

pub(crate) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

pub(crate) fn quiet() -> Task {
    Task::new("test")
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::Builder::new().prefix("lamina-store-").tempdir().expect("make a directory"));
        let mut key = ThreadKey::take().expect("one store a thread");
        let store = open(&directory, "own", &[], &mut key);
        Bench { store, key, directory }
    }

    /// A second store in the same place, which has this one as an additional store.
    pub(crate) fn above(self) -> Self {
        let Bench { store, mut key, directory } = self;
        let below = store.graph_root().to_path_buf();
        drop(store);
        let store = open(&directory, "above", &[below], &mut key);
        Bench { store, key, directory }
    }

    /// The same store as another process finds it.
    pub(crate) fn reopened(self) -> Self {
        let Bench { store, mut key, directory } = self;
        drop(store);
        let store = open(&directory, "own", &[], &mut key);
        Bench { store, key, directory }
    }

    /// A path in the graph root.
    pub(crate) fn graph(&self, path: &str) -> PathBuf {
        self.store.graph_root().join(path)
    }

    /// Makes layers, each on the one before.
    pub(crate) fn chain(&mut self, parent: Option<&str>, ids: &[&str]) {
        let mut parent = parent.map(str::to_owned);
        for &name in ids {
            let new = NewLayer { id: Some(id(name)), parent: parent.take(), ..NewLayer::default() };
            self.store.create_layer(&mut self.key, &new, &quiet()).expect("make a layer");
            parent = Some(name.to_owned());
        }
    }

    pub(crate) fn image(&mut self, name: &str, names: &[&str], layer: &str) -> Result<Arc<Image>> {
        let new =
            NewImage { id: Some(id(name)), names: owned(names), layer: Some(layer.to_owned()), ..NewImage::default() };
        self.store.create_image(&mut self.key, &new)
    }

    pub(crate) fn container(&mut self, name: &str, image: &str) -> Result<Arc<Container>> {
        let new = NewContainer {
            id: Some(id(name)),
            image: Some(image.to_owned()),
            layer: Some(id(&format!("{name}-layer"))),
            ..NewContainer::default()
        };
        self.store.create_container(&mut self.key, &new, &quiet())
    }

    /// The ids of all layers, sorted.
    pub(crate) fn layers(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.store.layers().expect("layers").iter().map(|layer| layer.id.clone()).collect();
        ids.sort();
        ids
    }

    /// The places that the driver has, sorted.
    pub(crate) fn places(&mut self) -> Vec<String> {
        let mut places = self.store.driver_layers(&mut self.key).expect("places");
        places.sort();
        places
    }
}

fn open(directory: &tempfile::TempDir, name: &str, additional: &[PathBuf], key: &mut ThreadKey) -> Store {
    let options = StoreOptions {
        graph_root: directory.path().join(name).join("graph"),
        run_root: directory.path().join(name).join("run"),
        additional_stores: additional.to_vec(),
        driver: Some("vfs".to_owned()),
        ..StoreOptions::default()
    };
    Store::open(&options, &Registry::linked().expect("drivers"), key).expect("open the store")
}
