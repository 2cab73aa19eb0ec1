//! Files and directories: opening beneath a directory, atomic replacement, staging and trash, copying.

pub mod atomic;
pub mod beneath;
mod identity;
pub mod remove;
pub mod tempdir;

pub use identity::FileId;
pub use tempdir::{TempDir, TempDirs};
