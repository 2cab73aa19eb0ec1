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

mod additional;
mod apply;
mod big_data;
mod chain;
mod containers;
mod create;
mod delete;
mod diff;
mod digest_lock;
mod directories;
mod gc;
mod images;
mod import;
mod intent;
mod item;
mod kept;
pub(crate) mod layers;
mod lease;
mod mapping;
mod mounting;
pub(crate) mod mounts;
mod open;
mod options;
mod owners;
mod places;
mod properties;
pub(crate) mod records;
mod recovery;
mod rubbish;
mod shutdown;
mod sight;
mod sizes;
mod together;
mod users;
mod wipe;

pub use chain::{ChainLayer, Chained, Opener, Origin};
pub use containers::{Container, ContainerTable, NewContainer};
pub use create::{NewLayer, Owners};
pub use diff::DiffOptions;
pub use digest_lock::DigestLock;
pub use gc::GcReport;
pub use images::{Deletion, Image, ImageTable, NameOwners, NewData, NewImage};
pub use item::{Item, ItemKind};
pub use layers::{IdMap, Layer, LayerTable};
pub use lease::Lease;
pub use mapping::{AutoIds, AutoMapping, Mapping};
pub use mounting::Release;
pub use open::Store;
pub use options::{Durability, StoreOptions, VolatileMounts};
pub use properties::NameChange;
pub use records::json::time as reference_time;
pub use records::{Damaged, Location, NameScope, Record, RecordTable};
pub use sight::{Sight, StoreNumber};
