//! R2: a driver mounts only for a caller that holds the store for mounting.
use storage_core::driver::{Driver, LayerRef, MountOptions, Shared};

fn diff(driver: &dyn Driver, held: &mut Shared<'_>, layer: &LayerRef) {
    let _ = driver.mount(held, layer, &MountOptions::default());
}

fn main() {}
