//! R5: "user namespaces" comes before "images", and is never taken after it.
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Images, UserNamespaces};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey};

type Level<L> = Guarded<L, NoRecords, Kernel>;

fn wrong(held: &Level<Images>, wanted: &Level<UserNamespaces>, key: &mut ThreadKey) {
    let (_held, mut key) = held.read(key, &Wait::forever()).unwrap();
    let _wanted = wanted.read(&mut key, &Wait::forever());
}

fn main() {}
