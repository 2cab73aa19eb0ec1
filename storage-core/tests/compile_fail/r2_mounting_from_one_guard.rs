//! R2: proof of a hold for mounting takes both guards; that of the layers stands for no other.
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, Mounting, NoRecords, WriteGuard, mounting};

fn prove<'a>(
    layers: &'a mut WriteGuard<'_, Layers, NoRecords, Kernel>,
    again: &'a mut WriteGuard<'_, Layers, NoRecords, Kernel>,
) -> Mounting<'a> {
    mounting(layers, again).unwrap()
}

fn main() {}
