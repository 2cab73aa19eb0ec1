//! R9: the reference's `Store.Diff` lets the lock go before it looks for the layer in additional stores, and compares with none.
use storage_core::driver::{Driver, LayerRef, OwnerMaps};
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, NoRecords, ReadGuard};

fn diff(driver: &dyn Driver, guard: ReadGuard<'_, Layers, NoRecords, Kernel>, layer: &LayerRef) {
    let held = guard.shared();
    drop(guard);
    let _ = driver.compare(&held, layer, None, &OwnerMaps::default());
}

fn main() {}
