//! R9: protected state is out of reach without a guard.
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, Kernel};
use storage_core::store::LayerTable;

fn peek(layers: &Guarded<Layers, LayerTable, Kernel>) {
    let _ = &layers.watched;
}

fn main() {}
