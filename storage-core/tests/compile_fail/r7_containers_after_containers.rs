//! R7: a thread that holds "containers" never takes it again.
use storage_core::lockfile::Wait;
use storage_core::locks::level::Containers;
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};

type Level<L> = Guarded<L, NoRecords, Kernel>;

fn wrong(held: &Level<Containers>, wanted: &Level<Containers>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).unwrap();
    let _wanted = wanted.read(&mut key, &Wait::forever());
}

fn main() {}
