//! The vfs graph driver: every layer is a whole tree of its own, copied from its parent.
//!
//! It works on every filesystem, at the price of the copy, which shares blocks where the filesystem can. There are no
//! mounts: a layer's directory is where it is shown. On disk:
//!
//! ```text
//! HOME/                 GRAPHROOT/vfs
//!   dir/<layer-id>/     the tree; a base layer's root has mode 0555, another's is that of its parent
//!   tempdirs/           staging and trash
//! ```

mod descriptor;
mod driver;
mod home;
mod mounting;
mod options;
mod staged;
mod survey;
mod view;

pub use descriptor::DESCRIPTOR;
pub use driver::Vfs;

#[cfg(feature = "plugin")]
storage_core::export_driver!(DESCRIPTOR);
