//! The overlay driver on a real kernel: needs root, and a temporary directory that overlays can be written on.
#![allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod compare;
mod harness;
mod homes;
mod lost;
mod mounting;
mod owners;
mod places;
mod staging;
mod user_namespace;
mod view;
