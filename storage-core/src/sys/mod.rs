//! The system calls that no crate wraps.

pub mod ofd;
pub mod userns;
