//! Files and directories: opening beneath a directory, atomic replacement, staging and trash, copying.

pub mod atomic;
pub mod beneath;
pub mod copy;
mod files;
mod identity;
mod ladder;
pub mod probe;
pub mod remove;
mod stale;
mod subvolume;
pub mod tempdir;
mod usage;
pub mod xattr;

pub use files::{Disk, Files, Opening, Protocol};
pub use identity::{FileId, lasting_identity};
pub use ladder::{Ladder, entries, open_directory};
pub use subvolume::is_subvolume;
pub use tempdir::{TempDir, TempDirs};
pub use usage::{Usage, usage};
