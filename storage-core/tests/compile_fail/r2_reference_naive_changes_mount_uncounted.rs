//! R2: the reference's naive `Changes` mounts by the driver, past the counts. Here what attaches is asked of a gate, with proof
//! of a hold of the counts; a shared one opens a gate that has no such method.
use storage_core::Result;
use storage_core::driver::{Gate, LayerRef, MountOptions, Shared};

fn changes(gate: &Gate, held: &Shared<'_>, layer: &LayerRef) -> Result<std::path::PathBuf> {
    gate.shared(held)?.mount(layer, &MountOptions::default())
}

fn main() {}
