//! Whether the driver can work on a root.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use storage_core::driver::{Capabilities, Capability, Request, Survey};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::probe::nearest_existing;
use storage_core::mount::{Features, MountInfo, filesystem_type, mounts_here};

use crate::command::{Command, Installed};
use crate::datasets::Datasets;
use crate::options::Options;

/// Looks at the place; changes nothing.
pub(crate) fn survey(request: &Request) -> Survey {
    match examine(request, Arc::new(Installed)) {
        Ok((_, datasets)) => Survey {
            usable: true,
            reason: format!("layers are made as datasets below {}", datasets.root()),
            capabilities: capabilities(Features::of_kernel()),
        },
        Err(error) => Survey { usable: false, reason: error.to_string(), capabilities: Capabilities::NONE },
    }
}

pub(crate) fn capabilities(features: Features) -> Capabilities {
    Capabilities::NONE
        .with(Capability::KernelMounts, true)
        .with(Capability::ProportionalDiff, true)
        .with(Capability::DetachedViews, features.detached())
        .with(Capability::DType, true)
        .with(Capability::Quota, true)
}

/// Finds the options and the dataset. Fails, with the reason, when the driver can't work there.
pub(crate) fn examine(request: &Request, zfs: Arc<dyn Command>) -> Result<(Options, Datasets)> {
    let options = Options::parse(&request.options)?;
    if let Some(home) = request.image_home.as_ref().or(request.additional_homes.first()) {
        return Err(unusable(
            home,
            "the zfs driver keeps layers in one store only, without image or additional stores",
        ));
    }
    let place = nearest_existing(&request.home);
    let root = match &options.fsname {
        Some(name) => name.clone(),
        None => dataset_of(&place)?,
    };
    if !is_installed() {
        return Err(unusable(&place, "the zfs command is missing").remedy("install zfsutils-linux"));
    }
    File::options().read(true).write(true).open("/dev/zfs").os("open", "/dev/zfs").map_err(|error| {
        unusable(Path::new("/dev/zfs"), "the kernel's zfs can't be reached")
            .because(error)
            .remedy("load the module, as root")
    })?;
    let datasets = Datasets::new(zfs, &root);
    if !request.home.is_dir() {
        // Where layers were made before, the dataset is there, or the first question about a layer says that it isn't.
        let asked = datasets.listing();
        asked.map_err(|error| unusable(&place, format!("dataset {root} can't be used")).because(error))?;
    }
    Ok((options, datasets))
}

fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("zfs").is_file())
}

/// The dataset that `place` is on.
fn dataset_of(place: &Path) -> Result<String> {
    let kind = filesystem_type(place)?;
    if kind.name() != "zfs" {
        return Err(unusable(place, format!("it is on {}, not on zfs", kind.name()))
            .remedy("put the graph root on a zfs dataset, or name one with zfs.fsname"));
    }
    let real = std::fs::canonicalize(place).os("realpath", place)?;
    let found = mount_around(&mounts_here()?, &real).filter(|mount| mount.filesystem == "zfs");
    let source = found.map(|mount| mount.source).filter(|source| !source.contains('@'));
    source.ok_or_else(|| unusable(place, "the table of mounts doesn't tell its dataset"))
}

/// The mount that `path` is on: that of the nearest mount point above, the one mounted last.
fn mount_around(mounts: &[MountInfo], path: &Path) -> Option<MountInfo> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.mount_point));
    above.max_by_key(|mount| mount.mount_point.components().count()).cloned()
}

fn unusable(place: &Path, why: impl Into<String>) -> Error {
    Error::new(Kind::DriverUnusable, "try zfs").at(place).detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_core::mount::parse_mountinfo;

    #[test]
    fn the_dataset_is_that_of_the_nearest_mount_above() {
        let text = b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 20 0:40 / /var/lib rw - zfs tank/lib rw,xattr\n\
            31 30 0:41 / /var/lib/a\\040b rw - zfs tank/a\\040b rw\n";
        let mounts = parse_mountinfo(text);
        let source = |path: &str| mount_around(&mounts, Path::new(path)).map(|mount| mount.source);
        assert_eq!(source("/var/lib/containers").as_deref(), Some("tank/lib"));
        assert_eq!(source("/var/lib/a b/x").as_deref(), Some("tank/a b"));
        assert_eq!(source("/var/library").as_deref(), Some("/dev/sda1"));
    }
}
