//! R2: holding the layers for writing is not enough to mount; mountpoints.lock belongs to it.
use storage_core::driver::{Driver, Exclusive, LayerRef, MountOptions};

fn show(driver: &dyn Driver, held: &mut Exclusive<'_>, layer: &LayerRef) {
    let _ = driver.mount(held, layer, &MountOptions::default());
}

fn main() {}
