//! The driver's options.

use storage_core::driver::{Refusals, is_on};
use storage_core::error::{Error, Kind, Result};
use storage_core::mount::MountFlags;

/// Reads the options of the driver: what becomes of an owner that can't be given. Those that would be needed and can't be
/// honoured are refused.
pub(crate) fn parse(options: &[(String, String)]) -> Result<Refusals> {
    let mut refusals = Refusals::Fail;
    for (key, value) in options {
        match key.as_str() {
            "mountopt" => check_mount_options([value.as_str()])?,
            "sync" if matches!(value.as_str(), "" | "none" | "filesystem") => {}
            "ignore_chown_errors" if is_on(key, value)? => refusals = Refusals::Ignored,
            "ignore_chown_errors" => {}
            "sync" => {
                return Err(Error::new(Kind::NotSupported, "read storage option")
                    .detail(format!("vfs.{key}={value}"))
                    .remedy("leave the option out"));
            }
            _ => {
                return Err(Error::new(Kind::Usage, "read storage option")
                    .detail(format!("vfs driver: unknown option {key:?}"))
                    .remedy("use mountopt, ignore_chown_errors or sync, and imagestore where stores are named"));
            }
        }
    }
    Ok(refusals)
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
