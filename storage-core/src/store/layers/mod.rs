//! The layers' records: what they say, and who stands on whom.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/            0700
//!   layers.json                         0600   what survives power loss
//!   volatile-layers.json                0600   what need not
//!   layers.lock                         0644
//! ```

mod record;
mod table;

pub use record::{IdMap, Layer};
pub(crate) use table::FILES;
pub use table::LayerTable;
pub(crate) use table::layer_ref;
