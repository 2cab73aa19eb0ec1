//! R9: an exclusive token can't outlive the guard that it came from.
use storage_core::driver::Exclusive;
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, WriteGuard};

fn kept<'g>(mut guard: WriteGuard<'g, Layers, NoRecords, Kernel>) -> Exclusive<'g> {
    guard.exclusive()
}

fn main() {}
