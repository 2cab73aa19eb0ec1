//! The host's side: a [`crate::driver::Driver`] that calls the table of a plugin, and checks whatever comes back.

mod answers;
mod call;
mod comparison;
mod driver;
mod failure;
mod handles;
mod plugin;
mod staged;
mod values;
mod watch;

pub(super) use plugin::Plugin;
pub use watch::Silence;
pub(super) use watch::Watch;
