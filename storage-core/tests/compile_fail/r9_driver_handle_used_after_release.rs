//! R9: nor can it be used once one of the guards was dropped.
use storage_core::driver::{Gate, LayerRef, MountOptions};
use storage_core::locks::level::{Layers, Mounts};
use storage_core::locks::{Kernel, NoRecords, WriteGuard, mounting};

fn late(
    gate: &Gate,
    mut layers: WriteGuard<'_, Layers, NoRecords, Kernel>,
    mut mounts: WriteGuard<'_, Mounts, NoRecords, Kernel>,
    layer: &LayerRef,
) {
    let mut token = mounting(&mut layers, &mut mounts).unwrap();
    let mut driver = gate.mounting(&mut token).unwrap();
    drop(mounts);
    let _ = driver.mount(layer, &MountOptions::default());
}

fn main() {}
