//! R2: the reference's `check` mounts every layer while the layers are held for writing, and mountpoints.lock isn't.
use storage_core::Result;
use storage_core::driver::{Gate, LayerRef, MountOptions};
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, WriteGuard};

fn check(gate: &Gate, layers: &mut WriteGuard<'_, Layers, NoRecords, Kernel>, layer: &LayerRef) -> Result<()> {
    gate.mounting(&mut layers.exclusive())?.mount(layer, &MountOptions::default())?;
    Ok(())
}

fn main() {}
