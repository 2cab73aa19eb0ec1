//! The store.
pub(crate) mod layers;
pub(crate) mod mounts;
pub use layers::{Layer, LayerTable};
