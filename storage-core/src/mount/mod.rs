//! Mounts: options, detached mounts, and what the kernel says is mounted.

pub mod elsewhere;
