//! R2: the reference hands what the user typed to the driver: `unmount NAME` loses the count and leaves the mount. Here a
//! driver is asked for an id, which is what a name was resolved to under the lock.
use storage_core::driver::{Detached, Driver, Extent, Home, Mounting};

fn unmount(driver: &dyn Driver, held: &mut Mounting<'_>, typed: &str) -> Detached {
    driver.unmount(held, typed, Home::Own, Extent::All).unwrap()
}

fn main() {}
