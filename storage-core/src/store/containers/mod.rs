//! Containers: a layer of their own on an image's top layer, with data and directories for the engine.
//!
//! ```text
//! GRAPHROOT/<driver>-containers/        0700
//!   containers.json                     0600   (records and lock in RUNROOT/<driver>-containers in a transient store)
//!   volatile-containers.json            0600
//!   containers.lock                     0644
//!   <container>/                        0700
//!     <file name of the key>            0600   big data
//!     userdata/                         0700   a directory for the engine
//!   tmp/lock-X, tmp/temp-dir-X                 staging and trash
//! RUNROOT/<driver>-containers/<container>/userdata/    the same, gone after a reboot
//! ```

mod create;
mod delete;
mod mounting;
mod record;

pub use create::NewContainer;
pub use record::{Container, ContainerTable};
