//! R7: a guard for reading lends no proof for writing, and saves nothing.
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, ReadGuard};

fn upgrade(guard: &mut ReadGuard<'_, Layers, NoRecords, Kernel>) {
    let _ = guard.exclusive();
    guard.save(NoRecords, &[]).unwrap();
}

fn main() {}
