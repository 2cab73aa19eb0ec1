//! R2: the reference's `Repair` lets the driver remove layers without any lock.
use storage_core::LayerId;
use storage_core::driver::{Driver, Home};

fn repair(driver: &dyn Driver, damaged: &LayerId) {
    let _ = driver.remove(damaged, Home::Own);
}

fn main() {}
