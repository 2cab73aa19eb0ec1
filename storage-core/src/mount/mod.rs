//! Mounts: options, detached mounts, and what the kernel says is mounted.
//!
//! A *detached* mount has no path: only descriptors lead to it, and the kernel drops it with the last of them, SIGKILL
//! included. Where the kernel or a sandbox refuses detached mounts, a thread makes the mount in a mount namespace of its
//! own and keeps the descriptor ([`in_private_namespace`]). Which of the two is possible is a value that callers pass ([`Features`]),
//! so that tests can take either away.
//!
//! Nothing here changes what the process as a whole sees: neither its directory nor its mount namespace. What needs
//! another directory or namespace runs in a thread that has its own.

mod clone;
pub mod elsewhere;
mod features;
mod idmapped;
mod mountinfo;
mod options;
mod overlay;
mod private;
mod truth;

pub use clone::read_only_clone;
pub use features::Features;
pub use idmapped::{Mapped, check_idmapped_clones, check_idmapped_lowers, idmapped_clone};
pub use mountinfo::{MountInfo, parse_mountinfo};
pub use options::MountFlags;
pub use overlay::{MAX_LOWERS, Overlay, Source, Upper};
pub use private::{in_directory, in_private_namespace};
pub use truth::{
    FilesystemType, boot_id, filesystem_type, in_user_namespace, is_mount_root, is_mount_root_fd, mount_id, mounts_here,
};
