//! A lock-guarded store of container layers over graph drivers.
//!
//! The on-disk format and the lock protocol are those of containers/storage, the library below podman, buildah and
//! CRI-O: both can work on one root at the same time. `docs/` beside this crate holds the design, the rules of locking
//! and the places on disk.
//!
//! Modules import downwards only, in this order: `store`; `driver`; `locks`; `lockfile`; `archive` and `mount`;
//! `config` and `idmap`; `fs`; `sys`; `task`, `ids` and `record`; `error`. A driver crate sees what stands below `locks`' state: never `store`.

pub mod archive;
pub mod config;
pub mod driver;
pub mod error;
pub mod fs;
pub mod idmap;
pub mod ids;
pub mod lockfile;
pub mod locks;
pub mod mount;
pub mod record;
pub mod store;
pub mod sys;
pub mod task;

pub use error::{Error, Kind, Result};
pub use ids::LayerId;
pub use task::{Cancel, Progress, Task};
