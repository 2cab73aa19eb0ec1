//! The system calls that no crate wraps.

pub mod btrfs;
pub mod dedupe;
pub mod mount_setattr;
pub mod namespaces;
pub mod ofd;
pub mod process;
pub mod rights;
