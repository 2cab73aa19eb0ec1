//! R7: the key of a thread is borrowed as long as a lock is held.
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::lockfile::Wait;

fn twice(layers: &Guarded<Layers, NoRecords, Kernel>, key: &mut ThreadKey) {
    let first = layers.read(key, &Wait::forever());
    let second = layers.write(key, &Wait::forever());
    drop((first, second));
}

fn main() {}
