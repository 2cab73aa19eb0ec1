//! Images: a top layer, names, and the manifest and configuration that make it one.
//!
//! ```text
//! GRAPHROOT/<driver>-images/            0700   (or IMAGESTORE/<driver>-images)
//!   images.json                         0600
//!   images.lock                         0644
//!   <image>/                            0700
//!     <file name of the key>            0600   big data: manifests, the configuration, signatures
//!     userdata/                         0700   a directory for the engine
//!   tmp/lock-X, tmp/temp-dir-X                 staging and trash
//! RUNROOT/<driver>-images/<image>/userdata/    the same, gone after a reboot
//! ```

mod create;
mod delete;
mod mounting;
mod record;

pub use create::{NewData, NewImage};
pub use delete::Deletion;
pub(crate) use record::MANIFEST;
pub use record::{Image, ImageTable};
