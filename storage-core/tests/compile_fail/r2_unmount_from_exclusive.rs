//! R2: holding the layers for writing is not enough to unmount; mountpoints.lock belongs to it.
use storage_core::LayerId;
use storage_core::driver::{Exclusive, Extent, Gate, Home};

fn release(gate: &Gate, held: &mut Exclusive<'_>, id: &LayerId) {
    let _ = gate.mounting(held).map(|mut driver| driver.unmount(id, Home::Own, Extent::One));
}

fn main() {}
