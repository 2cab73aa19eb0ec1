//! R9: the reference's `check` uses the driver that the store had when it was opened, without the lock that guards it. Here
//! nobody has a store's driver: it stands behind a gate that asks for proof of a hold.
use storage_core::driver::Driver;
use storage_core::store::Store;

fn driver(store: &Store) -> &dyn Driver {
    &*store.gate.driver
}

fn main() {}
