//! R2: the reference lets a layer of an additional store be mounted, whose mountpoints.lock is nil. Here an additional store
//! has no locks, so none of its guards exists, and the absence of one proves nothing.
use storage_core::locks::level::{Layers, Mounts};
use storage_core::locks::{Kernel, Mounting, NoRecords, WriteGuard, mounting};

fn mount<'a>(
    layers: &'a mut WriteGuard<'_, Layers, NoRecords, Kernel>,
    mounts: Option<&'a mut WriteGuard<'_, Mounts, NoRecords, Kernel>>,
) -> Mounting<'a> {
    mounting(layers, mounts).unwrap()
}

fn main() {}
