//! The btrfs graph driver: every layer is a subvolume, begun as a snapshot of its parent.
//!
//! There are no mounts: a layer's directory is where it is shown. On disk:
//!
//! ```text
//! HOME/                       GRAPHROOT/btrfs
//!   subvolumes/<layer-id>/    the tree, a subvolume; the root of a base layer has mode 0555
//!   quotas/<layer-id>         the most bytes that the layer may show, in decimal digits, where it has a limit
//!   tempdirs/                 staging and trash
//! ```
//!
//! A snapshot waits for the filesystem, so none is made under a lock: a layer is begun, and two trees are compared, with
//! what was pinned under it.

mod compare;
mod decide;
mod descriptor;
mod driver;
mod home;
mod mounting;
mod options;
mod quota;
mod send;
mod snapshot;
mod staged;
mod stream;
mod survey;
mod view;

pub use descriptor::DESCRIPTOR;
pub use driver::{Btrfs, Ways};

#[cfg(feature = "plugin")]
storage_core::export_driver!(DESCRIPTOR);
