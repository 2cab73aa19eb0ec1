//! Whether the driver can work on a root.

use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities as capabilities_of};
use storage_core::driver::{Capabilities, Capability, Request, Survey};
use storage_core::error::{Error, Kind, Result};
use storage_core::fs::open_directory;
use storage_core::fs::probe::{has_reflink, nearest_existing};
use storage_core::mount::{Features, filesystem_type, in_user_namespace};
use storage_core::sys::btrfs;

use crate::options::Options;

/// Looks at the place; changes nothing.
pub(crate) fn survey(request: &Request) -> Survey {
    let place = nearest_existing(&request.home);
    match Options::parse(&request.options).and_then(|_| examine(request)).and_then(|()| check_writable(&place)) {
        Err(error) => Survey { usable: false, reason: error.to_string(), capabilities: Capabilities::NONE },
        Ok(()) => Survey {
            usable: true,
            reason: if is_privileged() {
                "the root is on btrfs: layers are snapshots, and what differs is asked of the kernel".to_owned()
            } else {
                "the root is on btrfs: layers are snapshots; comparing walks both trees without CAP_SYS_ADMIN"
                    .to_owned()
            },
            capabilities: capabilities(&place, Features::of_kernel(), is_privileged()),
        },
    }
}

/// Fails, with the reason, when the driver can't work there.
pub(crate) fn examine(request: &Request) -> Result<()> {
    for home in std::iter::once(&request.home).chain(&request.image_home) {
        let place = nearest_existing(home);
        let backing = filesystem_type(&place)?;
        if backing.0 != btrfs::SUPER_MAGIC {
            return Err(unusable(&place, format!("the filesystem is {}, not btrfs", backing.name())));
        }
        if let Err(errno) = open_directory(&place).map(|dir| btrfs::info(std::os::fd::AsFd::as_fd(&dir)))? {
            return Err(unusable(&place, "the kernel doesn't tell about subvolumes (Linux 4.18 does)").because(errno));
        }
    }
    Ok(())
}

fn check_writable(place: &Path) -> Result<()> {
    let allowed = rustix::fs::access(place, rustix::fs::Access::WRITE_OK);
    allowed.map_err(|errno| unusable(place, "it can't be written to").because(errno))
}

fn unusable(place: &Path, why: impl Into<String>) -> Error {
    Error::new(Kind::DriverUnusable, "try btrfs").at(place).detail(why)
}

/// Whether this process may have the kernel send what differs, and destroy snapshots that can't be written to.
pub(crate) fn is_privileged() -> bool {
    !in_user_namespace() && capabilities_of(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

pub(crate) fn capabilities(place: &Path, features: Features, privileged: bool) -> Capabilities {
    Capabilities::NONE
        .with(Capability::ProportionalDiff, privileged)
        .with(Capability::Reflink, has_reflink(place))
        .with(Capability::DType, true)
        .with(Capability::DetachedViews, features.detached())
        .with(Capability::Quota, privileged)
}
