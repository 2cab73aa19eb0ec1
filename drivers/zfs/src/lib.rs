//! The zfs graph driver: every layer is a dataset, a child layer is a clone of a snapshot of its parent.
//!
//! Datasets are made, renamed and destroyed by the `zfs` command; what is mounted is mounted by system calls. On disk:
//!
//! ```text
//! ROOT/<layer-id>            the layer, with mountpoint=legacy; a base layer's root has mode 0555
//! ROOT/<layer-id>@lamina:X   where a child was cloned from; destroyed with the child (`destroy -d`)
//! ROOT/lamina:X              staging or trash, protected by HOME/tempdirs/lock-X
//! ROOT/lamina:X:was:<id>     what the layer was before it was replaced, in trash
//! HOME/                      GRAPHROOT/zfs
//!   graph/<layer-id>/        where the layer is mounted; the directory is there only as long as the mount
//!   tempdirs/                the locks of staging and trash
//! ```
//!
//! ROOT is the dataset that the graph root is on, or the option `zfs.fsname`. No layer's id can hold a colon, so nothing
//! of ours is ever taken for a layer. Nothing is destroyed recursively.

mod candidates;
mod command;
mod compare;
mod datasets;
mod descriptor;
mod diff_lines;
mod driver;
mod heal;
mod home;
mod listing;
mod mounting;
mod options;
mod staged;
mod strays;
mod survey;
mod sweep;
mod trash;
mod view;

pub use descriptor::DESCRIPTOR;
pub use driver::Zfs;

#[cfg(feature = "plugin")]
storage_core::export_driver!(DESCRIPTOR);
