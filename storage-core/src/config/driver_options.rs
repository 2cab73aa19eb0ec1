//! Options of drivers: which keys each driver knows, and what they come to.

use std::path::PathBuf;

use super::LayerSync;
use super::keys::Shape;
use super::settings::Settings;
use crate::error::{Error, Kind, Result};

/// A driver and its keys. A key that also stands in `storage.options` is taken from there when its own table lacks it.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) name: &'static str,
    keys: &'static [(&'static str, Shape)],
}

/// The drivers that a storage.conf can speak of. A key for all reaches only those that know it: `mountopt` would
/// make vfs and btrfs, which have no mounts, unusable.
pub(super) const DRIVERS: &[Driver] = &[
    Driver {
        name: "overlay",
        keys: &[
            ("ignore_chown_errors", Shape::SwitchText),
            ("mount_program", Shape::Text),
            ("mountopt", Shape::Text),
            ("size", Shape::Size),
            ("inodes", Shape::Inodes),
            ("skip_mount_home", Shape::SwitchText),
            ("use_composefs", Shape::SwitchText),
            ("force_mask", Shape::MaskText),
            ("sync", Shape::Sync),
        ],
    },
    Driver { name: "vfs", keys: &[("ignore_chown_errors", Shape::SwitchText), ("sync", Shape::Sync)] },
    Driver { name: "btrfs", keys: &[("min_space", Shape::Size), ("size", Shape::Size)] },
    Driver { name: "zfs", keys: &[("fsname", Shape::Text), ("mountopt", Shape::Text), ("size", Shape::Size)] },
];

impl Driver {
    pub(super) fn shape(&self, key: &str) -> Option<Shape> {
        self.keys.iter().find(|(known, _)| *known == key).map(|&(_, shape)| shape)
    }
}

/// Whether `STORAGE_OPTS` replaces the key.
pub(super) fn is_driver_option(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("storage.options.") else { return false };
    match rest.split_once('.') {
        Some((table, inner)) => DRIVERS.iter().any(|driver| driver.name == table && driver.shape(inner).is_some()),
        None => {
            matches!(rest, "additionalimagestores" | "additionallayerstores")
                || DRIVERS.iter().any(|driver| driver.shape(rest).is_some())
        }
    }
}

/// The options as drivers are told them, `driver.key=value`: those of `driver`, or of every driver when none is named.
pub(super) fn from_settings(settings: &Settings, driver: Option<&str>) -> Vec<String> {
    let wanted = |each: &&Driver| driver.is_none_or(|name| name == each.name);
    let mut options = Vec::new();
    for driver in DRIVERS.iter().filter(wanted) {
        for (key, _) in driver.keys {
            let own = settings.text(&format!("storage.options.{}.{key}", driver.name));
            let general = || settings.text(&format!("storage.options.{key}"));
            if let Some(value) = own.or_else(general) {
                options.push(format!("{}.{key}={value}", driver.name));
            }
        }
    }
    options
}

/// Options as a caller gives them, with the stores among them taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverOptions {
    /// `[driver.]key=value`.
    pub options: Vec<String>,
    /// Paths of `imagestore=` and `additionalimagestore=`.
    pub image_stores: Vec<PathBuf>,
    /// Values of `additionallayerstore=`.
    pub layer_stores: Vec<String>,
}

impl DriverOptions {
    /// Tells `options` apart. What is for another driver than `driver` stays among the options, where it has no effect.
    /// Fails with [`Kind::Usage`] on an image store whose path doesn't start at the root.
    pub fn tell_apart(options: impl IntoIterator<Item = String>, driver: Option<&str>) -> Result<Self> {
        let mut apart = DriverOptions::default();
        for option in options {
            let (key, value) = option.split_once('=').unwrap_or((&option, ""));
            let key = match key.split_once('.') {
                Some((prefix, key)) if driver.is_none_or(|driver| same_driver(prefix, driver)) => key,
                _ => key,
            };
            match key {
                "imagestore" | "additionalimagestore" => {
                    for path in value.split(',').filter(|path| !path.is_empty()) {
                        apart.image_stores.push(absolute_store(&option, path)?);
                    }
                }
                "additionallayerstore" if value.is_empty() => {}
                "additionallayerstore" => apart.layer_stores.push(value.to_owned()),
                _ => apart.options.push(option),
            }
        }
        Ok(apart)
    }
}

fn absolute_store(option: &str, path: &str) -> Result<PathBuf> {
    if path.starts_with('/') {
        return Ok(path.into());
    }
    Err(Error::new(Kind::Usage, "read storage option")
        .detail(format!("{option}: {path:?} is no absolute path"))
        .remedy("write the path from / on"))
}

fn same_driver(one: &str, other: &str) -> bool {
    plain_name(one) == plain_name(other)
}

/// The name of a driver; `overlay2` is an old one of `overlay`.
pub(super) fn plain_name(name: &str) -> &str {
    if name == "overlay2" { "overlay" } else { name }
}

/// What `options` say about flushing layers, for `driver` or for whichever driver it will be: the safest of them.
pub(super) fn layer_sync(options: &[String], driver: Option<&str>) -> Option<LayerSync> {
    let mut found = None;
    for option in options {
        let Some((key, value)) = option.split_once('=') else { continue };
        let applies = match key.split_once('.') {
            None => key == "sync",
            Some((prefix, key)) => key == "sync" && driver.is_none_or(|driver| same_driver(prefix, driver)),
        };
        match value {
            "filesystem" if applies => found = Some(LayerSync::Filesystem),
            "none" if applies => found = found.or(Some(LayerSync::None)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(options: &[&str], driver: Option<&str>) -> DriverOptions {
        DriverOptions::tell_apart(options.iter().map(|&option| option.to_owned()), driver).expect("options")
    }

    #[test]
    fn image_stores_are_taken_out_of_options() {
        let options = ["overlay.imagestore=/a,/b", "additionalimagestore=/c", "overlay.mountopt=nodev", "imagestore="];
        let told = apart(&options, Some("overlay2"));
        assert_eq!(told.image_stores, ["/a", "/b", "/c"].map(PathBuf::from));
        assert_eq!(told.options, ["overlay.mountopt=nodev"]);
        let other = apart(&["vfs.imagestore=/a", "overlay.additionallayerstore=/l:ref"], Some("overlay"));
        assert_eq!((other.options.len(), other.layer_stores.as_slice()), (1, &["/l:ref".to_owned()][..]));
        assert!(DriverOptions::tell_apart(["imagestore=a".to_owned()], None).is_err());
    }

    #[test]
    fn the_safest_sync_counts_where_the_driver_is_open() {
        let options = ["overlay.sync=none", "vfs.sync=filesystem"].map(str::to_owned);
        assert_eq!(layer_sync(&options, None), Some(LayerSync::Filesystem));
        assert_eq!(layer_sync(&options, Some("overlay")), Some(LayerSync::None));
        assert_eq!(layer_sync(&options, Some("btrfs")), None);
        assert_eq!(layer_sync(&["sync=filesystem".to_owned()], Some("btrfs")), Some(LayerSync::Filesystem));
    }

    #[test]
    fn only_options_of_drivers_are_replaced_by_the_variable() {
        for key in ["mountopt", "size", "overlay.inodes", "zfs.fsname", "additionalimagestores"] {
            assert!(is_driver_option(&format!("storage.options.{key}")), "{key}");
        }
        for key in ["disable-volatile", "auto-userns-min-size", "pull_options.size", "root-auto-userns-user"] {
            assert!(!is_driver_option(&format!("storage.options.{key}")), "{key}");
        }
    }
}
