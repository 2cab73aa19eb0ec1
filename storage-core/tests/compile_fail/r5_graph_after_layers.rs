//! R5: "graph" comes before "layers", and is never taken after it.
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Graph, Layers};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};

type Level<L> = Guarded<L, NoRecords, Kernel>;

fn wrong(held: &Level<Layers>, wanted: &Level<Graph>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).unwrap();
    let _wanted = wanted.read(&mut key, &Wait::forever());
}

fn main() {}
