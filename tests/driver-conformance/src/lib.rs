//! What every graph driver promises, checked against one that is there.
//!
//! [`grounds`] makes a throw-away root on a filesystem that suits a driver; [`suite`] runs cases against the driver on it,
//! which it reaches only through its gate. The command `lamina conformance` is a thin front; any other program may embed the
//! suite, with drivers of its own.

pub mod audit;
pub mod grounds;
pub mod suite;
