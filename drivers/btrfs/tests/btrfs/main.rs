//! The btrfs driver on a btrfs in a file: needs root, loop devices and mkfs.btrfs.
#![allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod compare;
mod edits;
mod harness;
mod homes;
mod layers;
mod nested;
mod owners;
mod places;
mod quota;
mod user_namespace;
