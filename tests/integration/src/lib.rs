//! The harness of the integration tests: cases that can leave nothing behind, and what they share.
//!
//! A case is a plain function in a list. [`runner`] starts each in a process of its own, below which a second process is
//! the first of a new process namespace with a private mount namespace: when it ends, however it ends, the kernel ends
//! every process and every mount that the case made, and loop devices free themselves. [`scratch`] is the directory that
//! a case may touch; [`store`] drives the command under test and the reference on one root.

pub mod archive;
pub mod case;
pub mod engines;
pub mod images;
pub mod invariants;
pub mod lock;
pub mod machine;
pub mod plugins;
pub mod random;
pub mod rootfs;
pub mod runner;
pub mod scratch;
pub mod store;
pub mod trace;
pub mod tree;
pub mod user;

pub use case::{Case, Outcome, Skip};
pub use engines::Engines;
pub use scratch::Scratch;
pub use store::Store;
