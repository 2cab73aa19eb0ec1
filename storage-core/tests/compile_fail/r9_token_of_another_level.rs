//! R9: tokens for the driver come from guards of the layers alone.
use storage_core::driver::Exclusive;
use storage_core::locks::level::Images;
use storage_core::locks::{Kernel, NoRecords, WriteGuard};

fn open<'a>(guard: &'a mut WriteGuard<'_, Images, NoRecords, Kernel>) -> Exclusive<'a> {
    guard.exclusive()
}

fn main() {}
