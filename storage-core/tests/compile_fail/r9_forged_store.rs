//! R9: nobody but the store makes an identity for which tokens are valid.
use storage_core::locks::StoreId;

fn forge() -> StoreId {
    StoreId(1)
}

fn main() {}
