//! R9: what a token proves can't change under it: the records are saved when it is given back.
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, WriteGuard};

fn save(guard: &mut WriteGuard<'_, Layers, NoRecords, Kernel>) {
    let held = guard.exclusive();
    guard.save(NoRecords, &[]).unwrap();
    drop(held);
}

fn main() {}
