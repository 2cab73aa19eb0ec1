//! What the driver tells about itself, and its entry in the registry.

use storage_core::driver::{Descriptor, Driver, Origin, Request};
use storage_core::error::Result;

use crate::Zfs;
use crate::survey::survey;

/// The driver's entry in the registry.
pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "zfs",
    version: env!("CARGO_PKG_VERSION"),
    priority: 50,
    automatic: true,
    origin: Origin::Linked,
    survey: &survey,
    open: &open,
};

inventory::submit! { DESCRIPTOR }

fn open(request: &Request) -> Result<Box<dyn Driver>> {
    Ok(Box::new(Zfs::open(request)?))
}
