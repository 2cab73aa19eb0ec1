//! R9: a token can't outlive the guard that it came from.
use storage_core::driver::Shared;
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};
use storage_core::lockfile::Wait;

fn kept<'a>(layers: &'a Guarded<Layers, NoRecords, Kernel>, key: &'a mut ThreadKey) -> Shared<'a> {
    let (guard, _key) = layers.read(key, &Wait::forever()).unwrap();
    guard.shared()
}

fn main() {}
