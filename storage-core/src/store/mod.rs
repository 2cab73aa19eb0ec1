//! The store: layers, images and containers, with their content, names, data and mounts, behind locks.
//!
//! [`Store::open`] chooses a driver and opens a root. Reads that ask about records take a snapshot and wait for nobody;
//! everything else takes the thread's [`crate::locks::ThreadKey`], because it may wait.
//!
//! | operation | storage | userns | layers | mountpoints | images | containers | without a store lock |
//! |---|---|---|---|---|---|---|---|
//! | lookup, list, names, metadata, exists, mounted | | | | | | | a snapshot of each file |
//! | all records at one moment | | | shared | | shared | shared | |
//! | create, import a layer | | | shared to begin, exclusive to commit | | | | staging: extraction, copy, flush |
//! | import a chain | | | as import, layer by layer | | | | staging, of several layers at once where the driver can |
//! | apply a diff | | | shared to begin, exclusive to exchange | shared both times | | | staging |
//! | diff, changes, diff size | | | shared to take a view | | | | the stream |
//! | create an image | | | shared | | exclusive | | its data, in staging |
//! | create a container | | exclusive, for ids of its own | shared to begin, exclusive to commit | | exclusive, to note a copy with other owners | exclusive | staging |
//! | check | | | shared, a moment for each layer | shared, to be certain | | | reading |
//! | repair | shared | | exclusive, a moment for each thing | exclusive, when mounted | exclusive | exclusive | packing, deletion of the trash |
//! | gc | shared | | exclusive | exclusive, when a mount is nobody's | exclusive | exclusive | deletion |
//! | dedup | | | shared, a moment for each layer | | | | the comparison, which the kernel does |
//! | delete a layer | shared | | exclusive | exclusive, when mounted | | | deletion of the trash |
//! | delete an image or a container | shared | | exclusive | exclusive, when mounted | exclusive | exclusive | deletion of the trash |
//! | mount, unmount | shared | | exclusive | exclusive | | | the flush of an unmount |
//! | names, metadata, flags, data | | | exclusive, of a layer | | of an image | of a container | writing the data |
//! | shutdown | exclusive | | exclusive | exclusive | | | |

mod additional;
mod apply;
mod big_data;
mod chain;
mod check;
mod containers;
mod create;
mod dedup;
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
mod repair;
mod rubbish;
mod shutdown;
mod sight;
mod sizes;
mod together;
mod users;
mod wipe;

pub use chain::{ChainLayer, Chained, Opener, Origin};
pub use check::{CheckOptions, CheckReport, Depth, Finding, FindingKind, Mend, MountElsewhere, Subject};
pub use containers::{Container, ContainerTable, NewContainer};
pub use create::{Ids, NewLayer, Owners};
pub use dedup::{DedupBy, DedupReport};
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
pub use repair::{DamagedContainers, RepairReport};
pub use sight::{Sight, StoreNumber};
