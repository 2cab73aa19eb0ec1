//! R2: a layer's place is taken away only for a caller that holds the layers for writing.
use storage_core::LayerId;
use storage_core::driver::{Driver, Home, Shared};

fn delete(driver: &dyn Driver, held: &mut Shared<'_>, id: &LayerId) {
    let _ = driver.remove(held, id, Home::Own);
}

fn main() {}
