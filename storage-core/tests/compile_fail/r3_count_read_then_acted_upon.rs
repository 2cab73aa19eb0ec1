//! R3: a count that was read without the lock leads to nothing: there is no way to the driver from it.
use storage_core::LayerId;
use storage_core::driver::{Extent, Home};
use storage_core::store::Store;

fn unmount_the_rest(store: &Store, name: &str, id: &LayerId) {
    while store.mounted(name).unwrap() > 0 {
        store.gate.unmount(id, Home::Own, Extent::One).unwrap();
    }
}

fn main() {}
