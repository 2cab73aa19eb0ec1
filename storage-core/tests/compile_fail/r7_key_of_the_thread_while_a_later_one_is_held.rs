//! R7: while a level is held, the thread's first key can't be used past the narrowed one.
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Images, Layers};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};

fn around(
    layers: &Guarded<Layers, NoRecords, Kernel>,
    images: &Guarded<Images, NoRecords, Kernel>,
    key: &mut ThreadKey,
) {
    let (held, _narrowed) = images.write(key, &Wait::forever()).unwrap();
    let _earlier = layers.write(key, &Wait::forever()).unwrap();
    drop(held);
}

fn main() {}
