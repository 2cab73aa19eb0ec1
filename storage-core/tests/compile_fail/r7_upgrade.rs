//! R7: a shared hold is never made exclusive.
use storage_core::driver::{Exclusive, Shared};

fn upgrade<'g>(held: Shared<'g>) -> Exclusive<'g> {
    held.into()
}

fn main() {}
