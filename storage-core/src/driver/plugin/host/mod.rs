//! The host's side: a [`crate::driver::Driver`] that calls the table of a plugin, and checks whatever comes back.

mod answers;
#[cfg(test)]
mod answers_tests;
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

/// What the host makes of the answer of `plugin` to a call.
#[cfg(test)]
pub(super) fn for_tests(plugin: impl FnOnce(*const super::table::Call) -> i32) -> crate::error::Result<()> {
    // SAFETY: all bytes zero are a table without functions.
    let table = unsafe { std::mem::zeroed() };
    let file = std::path::Path::new("/fake.so");
    let fake = Plugin { table, name: "fake", version: "1", file, watch: Watch::default() };
    answers::nothing(Box::leak(Box::new(fake)), "test", None, plugin)
}
