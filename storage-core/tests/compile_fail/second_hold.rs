//! R7: a thread never takes a lock that it holds.
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::lockfile::Wait;

fn twice(layers: &Guarded<Layers, NoRecords, Kernel>, key: &mut ThreadKey) {
    let (_first, mut key) = layers.read(key, &Wait::forever()).unwrap();
    let _second = layers.read(&mut key, &Wait::forever());
}

fn main() {}
