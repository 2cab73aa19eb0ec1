//! Records: what the three kinds, layers, images and containers, have in common.
//!
//! ```text
//! <driver>-layers/      layers.json       volatile-layers.json
//! <driver>-images/      images.json
//! <driver>-containers/  containers.json   volatile-containers.json     each one JSON array, 0600
//! ```
//!
//! A record keeps the bytes that it was read from until it is changed, and fields that this version doesn't know. One that
//! can't be understood is hidden, reported, and written back as it was: it keeps nobody from working with the others.

mod damaged;
mod edit;
pub(crate) mod fields;
pub(crate) mod json;
mod record;
mod salvage;
mod table;

pub use damaged::Damaged;
pub(crate) use edit::Edit;
pub(crate) use fields::{json_fields, record_accessors};
pub use record::{Location, NameScope, Record};
pub(crate) use salvage::{Salvaged, salvage};
pub use table::RecordTable;
