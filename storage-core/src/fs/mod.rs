//! Files and directories: opening beneath a directory, atomic replacement, staging and trash, copying.

pub mod beneath;
mod identity;
pub mod remove;
pub mod tempdir;
pub mod xattr;

pub use identity::FileId;
pub use tempdir::{TempDir, TempDirs};
