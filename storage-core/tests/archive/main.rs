//! Layer archives against GNU tar, against real files of the reference, and against themselves.

#![allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod changes;
mod compression;
mod extract;
mod formats;
mod mapped;
mod property;
mod refusals;
mod split;
mod support;
