//! R9: the reference once loaded changed records into the tables of a store that was held for reading, while other readers
//! went through them. Here a guard for reading lends its table for reading only.
use storage_core::locks::level::Layers;
use storage_core::locks::{Kernel, ReadGuard};
use storage_core::store::LayerTable;

fn reload(guard: &mut ReadGuard<'_, Layers, LayerTable, Kernel>, fresh: LayerTable) {
    *guard.table() = std::sync::Arc::new(fresh);
}

fn main() {}
