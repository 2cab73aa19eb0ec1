//! The system calls that no crate wraps.
