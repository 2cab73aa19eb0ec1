//! Drivers in shared objects: the C border, from both sides.
//!
//! `include/lamina_driver.h` is the border as authors in C see it. [`Plugins`] finds and checks shared objects and adds
//! their drivers to a [`super::Registry`]; from then on a loaded driver is one like any other. [`export_driver!`] makes a
//! shared object of an ordinary implementation of [`super::Driver`].
//!
//! [`export_driver!`]: crate::export_driver
#![allow(unsafe_code, reason = "the border to C: these files are its one address")]
#![allow(clippy::borrow_as_ptr, reason = "what is borrowed for one call is handed over as a pointer for that call")]

mod codes;
mod export;
mod host;
mod layout;
mod loader;
mod table;
mod text;

#[cfg(test)]
mod header_tests;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use export::{Exported, ExportedTable};
pub use host::Silence;
pub use loader::{DEFAULT_DIRECTORY, PATH_VARIABLE, Plugins, Refused, variable_directories};
#[doc(hidden)]
pub use table::Table;
