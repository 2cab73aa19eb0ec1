//! R2: proof of a hold for mounting takes guards for writing.
use storage_core::locks::level::{Layers, Mounts};
use storage_core::locks::{Kernel, Mounting, NoRecords, ReadGuard, WriteGuard, mounting};

fn prove<'a>(
    layers: &'a mut WriteGuard<'_, Layers, NoRecords, Kernel>,
    mounts: &'a mut ReadGuard<'_, Mounts, NoRecords, Kernel>,
) -> Mounting<'a> {
    mounting(layers, mounts).unwrap()
}

fn main() {}
