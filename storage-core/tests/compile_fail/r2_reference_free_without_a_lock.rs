//! R2: the reference's `Free` shuts the driver down without any lock.
use storage_core::driver::{Detached, Driver};

fn free(driver: &dyn Driver) -> Detached {
    driver.retire().unwrap()
}

fn main() {}
