//! R3: the reference reads a count, lets go, and unmounts so often that the layer should "really" be unmounted. Here how
//! often a mount is given back can't be said: it is one, or all of them, under one hold.
use storage_core::locks::ThreadKey;
use storage_core::store::Store;

fn really_unmount(store: &Store, key: &mut ThreadKey, id: &str) {
    let count = store.mounted(id).unwrap();
    store.unmount(key, id, count).unwrap();
}

fn main() {}
