//! R7: an operation of the store takes its locks itself, so it can't be called by who holds one of them.
use storage_core::lockfile::Wait;
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::store::{Release, Store};

fn delete(store: &Store, layers: &Guarded<Layers, NoRecords, Kernel>, key: &mut ThreadKey) {
    let (_guard, mut key) = layers.write(key, &Wait::forever()).unwrap();
    store.unmount(&mut key, "layer", Release::Force).unwrap();
}

fn main() {}
