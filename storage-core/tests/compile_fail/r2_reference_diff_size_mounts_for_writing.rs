//! R2: the reference's `DiffSize` mounts the layer for writing, under the lock for reading. Here a size is told without any
//! lock, and whoever tells it can't make proof of one.
use storage_core::Result;
use storage_core::driver::{Driver, LayerRef, MountOptions};
use storage_core::locks::{Mounting, StoreId};

fn size(driver: &dyn Driver, store: StoreId, layer: &LayerRef) -> Result<u64> {
    let _root = driver.mount(&mut Mounting::new(store), layer, &MountOptions::default())?;
    Ok(0)
}

fn main() {}
