//! R9: nobody but the locks makes a token.
use storage_core::driver::Exclusive;
use storage_core::locks::StoreId;

fn forge(store: StoreId) -> Exclusive<'static> {
    Exclusive::new(store)
}

fn main() {}
