//! R5: layers come before containers, and never after.
use storage_core::locks::level::{Containers, Layers};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::lockfile::Wait;

fn inverted(
    containers: &Guarded<Containers, NoRecords, Kernel>,
    layers: &Guarded<Layers, NoRecords, Kernel>,
    key: &mut ThreadKey,
) {
    let (_containers, mut key) = containers.read(key, &Wait::forever()).unwrap();
    let _layers = layers.read(&mut key, &Wait::forever());
}

fn main() {}
