//! R2: the reference's second bug marked in the source: when a diff is closed, the layer is unmounted, and all that is held
//! is the lock for reading.
use storage_core::LayerId;
use storage_core::driver::{Detached, Driver, Extent, Home};
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, ReadGuard};

fn close(driver: &dyn Driver, held: &ReadGuard<'_, Layers, NoRecords, Kernel>, id: &LayerId) -> Detached {
    driver.unmount(&mut held.shared(), id, Home::Own, Extent::One).unwrap()
}

fn main() {}
