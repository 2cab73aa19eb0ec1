//! R3: the table of counts is nobody's but the store's: it can't be read under a hold and kept.
use storage_core::store::{MountTable, Store};

fn counts(store: &Store) -> MountTable {
    store.mounts.snapshot().unwrap().as_ref().clone()
}

fn main() {}
