//! R2: the reference's first bug marked in the source: `Diff` mounts the layer while the store is held for reading.
use storage_core::Result;
use storage_core::driver::{Comparison, Driver, LayerRef, MountOptions, Shared};

fn diff(driver: &dyn Driver, held: &Shared<'_>, layer: &LayerRef) -> Result<Box<dyn Comparison>> {
    let _root = driver.mount(held, layer, &MountOptions { read_only: true, ..MountOptions::default() })?;
    unimplemented!("compare what is mounted")
}

fn main() {}
