//! The overlay graph driver: a layer is a directory of changes, and the kernel's overlay stacks it on those below.
//!
//! On disk, as the reference has it:
//!
//! ```text
//! HOME/                     0755  GRAPHROOT/overlay
//!   .has-mount-program      0600  "false": the kernel's overlay made these layers
//!   l/                      0755  26 letters and digits -> ../<layer-id>/diff
//!   tempdirs/               0700  staging and trash
//!   <layer-id>/             0700
//!     diff/                       the changes; a base layer's has mode 0555, another's is that of its parent
//!     diff1/ …                    earlier changes of the same layer, directly below `diff`
//!     link                  0644  the layer's name in l/
//!     lower                 0644  "l/A:l/B…", the nearest parent first; not in a base layer
//!     empty/                0700  in a base layer: an overlay needs something to stand on
//!     work/                 0700  the kernel's own
//!     merged/               0700  where the layer is mounted
//! ```
//!
//! Views find the directories of a chain by the records and the `link` files, never by `l/`, which is only a way to keep
//! the data of a mount short, and can be made again.

mod chain;
mod compare;
mod descriptor;
mod driver;
mod examine;
mod heal;
mod home;
mod mapping;
mod mounting;
mod options;
mod part;
mod private_home;
mod staged;
mod survey;
mod view;

pub use descriptor::DESCRIPTOR;
pub use driver::Overlay;

#[cfg(feature = "plugin")]
storage_core::export_driver!(DESCRIPTOR);
