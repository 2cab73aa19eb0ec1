//! Layer archives against GNU tar, against real files of the reference, and against themselves.

#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod changes;
mod compression;
mod extract;
mod formats;
mod property;
mod split;
mod support;
