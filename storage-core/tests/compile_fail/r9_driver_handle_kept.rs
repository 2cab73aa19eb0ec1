//! R9: the handle by which a driver mounts can't be kept when the guards go.
use storage_core::driver::{Gate, MountingAccess};
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Layers, Mounts};
use storage_core::locks::{Guarded, Kernel, NoRecords, ThreadKey, mounting};

fn kept<'a>(
    gate: &'a Gate,
    layers: &'a Guarded<Layers, NoRecords, Kernel>,
    mounts: &'a Guarded<Mounts, NoRecords, Kernel>,
    key: &'a mut ThreadKey,
) -> MountingAccess<'a, 'a> {
    let (mut layers, mut key) = layers.write(key, &Wait::forever()).unwrap();
    let (mut mounts, _key) = mounts.write(&mut key, &Wait::forever()).unwrap();
    let mut token = mounting(&mut layers, &mut mounts).unwrap();
    gate.mounting(&mut token).unwrap()
}

fn main() {}
