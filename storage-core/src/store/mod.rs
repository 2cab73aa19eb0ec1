//! The store: layers, with their content, names, data and mounts, behind locks.
//!
//! [`Store::open`] chooses a driver and opens a root. Reads that ask about records take a snapshot and wait for nobody;
//! everything else takes the thread's [`crate::locks::ThreadKey`], because it may wait.
//!
//! | operation | storage.lock | layers.lock | mountpoints.lock | without a store lock |
//! |---|---|---|---|---|
//! | lookup, list, names, metadata, exists, mounted | | | | a snapshot |
//! | create, import | | shared to begin, exclusive to commit | | staging: extraction, copy, flush |
//! | apply a diff | | shared to begin, exclusive to exchange | shared both times, to see that it is not mounted | staging |
//! | diff, changes, diff size | | shared to take a view | | the stream |
//! | delete, wipe | shared | exclusive | exclusive, when mounted | deletion of the trash |
//! | mount, unmount | shared | exclusive | exclusive | the flush of an unmount |
//! | names, metadata, flags, data | | exclusive | | writing the data |
//! | shutdown | exclusive | exclusive | exclusive | |

mod apply;
mod big_data;
mod create;
mod delete;
mod diff;
mod gc;
mod import;
mod intent;
pub(crate) mod layers;
mod mounting;
pub(crate) mod mounts;
mod open;
mod options;
mod properties;
mod recovery;
mod rubbish;
mod shutdown;
mod users;

pub use create::NewLayer;
pub use diff::DiffOptions;
pub use gc::GcReport;
pub use layers::{IdMap, Layer, LayerTable, Location};
pub use mounting::Release;
pub use open::Store;
pub use options::{Durability, StoreOptions};
