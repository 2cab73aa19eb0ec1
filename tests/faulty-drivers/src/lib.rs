//! Drivers that break one rule of locking each, and one that panics where it is told to.
//!
//! Every one of the first is a good driver with one thing done wrong ([`Fault`]): the audit must name the rule and the call. They are
//! compiled for tests only.

mod driver;
mod fault;
mod handles;
mod misdeeds;
mod panics;
mod register;

pub use driver::Faulty;
pub use fault::Fault;
pub use panics::{PANICS, VARIABLE};
pub use register::{descriptor, registry};
