//! The driver's options.

use storage_core::error::{Error, Kind, Result};
use storage_core::mount::{MountFlags, in_user_namespace};

/// Checks the options of the driver: nothing of what it does depends on one, so it is a matter of refusing those that
/// would be needed.
pub(crate) fn check(options: &[(String, String)]) -> Result<()> {
    options.iter().try_for_each(|(key, value)| check_one(key, value))
}

fn check_one(key: &str, value: &str) -> Result<()> {
    match key {
        "mountopt" => check_mount_options([value]),
        "sync" if matches!(value, "" | "none" | "filesystem") => Ok(()),
        "ignore_chown_errors" if is_false(value) || !in_user_namespace() => Ok(()),
        "sync" | "ignore_chown_errors" => Err(Error::new(Kind::NotSupported, "read storage option")
            .detail(format!("vfs.{key}={value}"))
            .remedy("leave the option out")),
        _ => Err(Error::new(Kind::Usage, "read storage option")
            .detail(format!("vfs driver: unknown option {key:?}"))
            .remedy("use mountopt, ignore_chown_errors or sync, and imagestore where stores are named")),
    }
}

/// Whether a boolean option has the value that it has when it isn't given.
fn is_false(value: &str) -> bool {
    matches!(value, "" | "0" | "f" | "F" | "false" | "False" | "FALSE")
}

/// A directory that is shown as it is can't obey options of a filesystem; those of any mount are tolerated.
pub(crate) fn check_mount_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<()> {
    match MountFlags::parse(options).data.first() {
        None => Ok(()),
        Some((key, _)) => Err(Error::new(Kind::NotSupported, "mount layer")
            .detail(format!("vfs driver does not support mount options ({key})"))
            .remedy("leave the option out")),
    }
}

/// Layers can't be limited.
pub(crate) fn check_layer_options(options: &[(String, String)]) -> Result<()> {
    match options.first() {
        None => Ok(()),
        Some((key, _)) => Err(Error::new(Kind::NotSupported, "create layer")
            .detail(format!("--storage-opt is not supported for vfs ({key})"))
            .remedy("leave the option out")),
    }
}
