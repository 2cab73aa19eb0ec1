//! The layers' records: their JSON, their table, and changes to it.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/            0700
//!   layers.json                         0600   what survives power loss
//!   volatile-layers.json                0600   what need not
//!   layers.lock                         0644
//! ```

mod edit;
pub(crate) mod json;
mod record;
mod table;

pub(crate) use edit::Edit;
pub use record::{IdMap, Layer, Location};
pub(crate) use table::FILES;
pub use table::LayerTable;
