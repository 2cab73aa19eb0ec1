//! The vfs driver on a real filesystem: needs root.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod harness;
mod layers;
mod places;
