//! R9: a guard stays in its thread, and with it the key that was given back.
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::lockfile::Wait;

fn hand_over(layers: &Guarded<Layers, NoRecords, Kernel>, key: &mut ThreadKey) {
    let (guard, _key) = layers.write(key, &Wait::forever()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(guard));
    });
}

fn main() {}
