//! Levels of locking, their order, and what proves a hold.
//!
//! A level is a lock file between processes and, inside, a lock of this process, taken and given back as one. What it
//! protects lives inside [`Guarded`] and is reached in three ways:
//!
//! * [`Guarded::snapshot`] takes no lock and proves nothing: the records as they were at one moment;
//! * [`Guarded::read`] gives a guard that lends [`Shared`];
//! * [`Guarded::write`] gives a guard that lends [`Exclusive`], and with [`mounting`] a [`Mounting`].
//!
//! # Order
//!
//! A thread's permission to wait is a value: one [`ThreadKey`] a thread. A blocking acquisition borrows it mutably and
//! gives back a [`Key`] for what comes later in the order of [`level`]; so taking a lock twice, or two in the wrong
//! order, doesn't compile.
//!
//! # The seam
//!
//! What happens between lock and JSON is a set of small state machines over one [`World`]: [`Kernel`] in production, a
//! simulated world where schedules and deaths are explored (`tests/model`). [`counting`] and [`changes`] are those of mounts
//! and layers; a driver's part in them is a small trait each.

pub mod changes;
pub mod counting;
mod guarded;
mod key;
pub mod level;
mod records;
mod seen;
mod token;
mod watched;
mod words;
mod world;

pub use guarded::{Guarded, ReadGuard, WriteGuard, mounting};
pub use key::{Key, KeyPlace, MayTake, RealThread, ThreadKey};
pub use records::{NoRecords, RecordBytes, RecordFile, Table};
pub use seen::SeenFile;
pub use token::{Exclusive, Mounting, Shared, StoreId};
pub use watched::Watched;
pub use words::{VERSION, Words};
pub(crate) use world::temporary_path;
pub use world::{Flush, Kernel, Sight, World};
