//! R9: a guard lends one exclusive token at a time.
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, WriteGuard};

fn twice(guard: &mut WriteGuard<'_, Layers, NoRecords, Kernel>) {
    let first = guard.exclusive();
    let second = guard.exclusive();
    drop((first, second));
}

fn main() {}
