//! The vfs driver on a real filesystem: needs root.
#![allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod harness;
mod homes;
mod layers;
mod owners;
mod places;
