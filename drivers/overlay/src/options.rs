//! The driver's options.

use storage_core::error::{Error, Kind, Result};
use storage_core::mount::{MountFlags, in_user_namespace};

/// What the driver was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Options of every mount that brings none of its own, as given.
    pub(crate) mountopt: String,
    /// The home isn't made a mount of its own before layers are mounted below it.
    pub(crate) skip_mount_home: bool,
}

/// Keys of the kernel's that the driver sets itself.
const OWN_KEYS: &[&str] =
    &["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir", "userxattr", "context", "source"];

impl Options {
    /// Reads the driver's options. One that would be needed and can't be honoured is refused by name.
    pub(crate) fn parse(options: &[(String, String)]) -> Result<Self> {
        let mut parsed = Options::default();
        for (key, value) in options {
            match key.as_str() {
                "mountopt" => {
                    check_mount_options([value.as_str()])?;
                    parsed.mountopt.clone_from(value);
                }
                "skip_mount_home" => parsed.skip_mount_home = !is_false(value),
                _ => check(key, value)?,
            }
        }
        Ok(parsed)
    }

    /// The configured options, told apart.
    pub(crate) fn mount_flags(&self) -> MountFlags {
        MountFlags::parse([self.mountopt.as_str()])
    }
}

fn check(key: &str, value: &str) -> Result<()> {
    match key {
        "sync" if matches!(value, "" | "none" | "filesystem") => Ok(()),
        "use_composefs" if is_false(value) => Ok(()),
        "ignore_chown_errors" if is_false(value) || !in_user_namespace() => Ok(()),
        "mount_program" | "force_mask" | "size" | "inodes" if value.is_empty() => Ok(()),
        "mount_program" => Err(refuse(key, value, "leave the option out: the kernel's overlay is used")),
        "sync"
        | "use_composefs"
        | "ignore_chown_errors"
        | "force_mask"
        | "size"
        | "inodes"
        | "additionallayerstore" => Err(refuse(key, value, "leave the option out")),
        _ => Err(Error::new(Kind::Usage, "read storage option")
            .detail(format!("overlay: unknown option {key}"))
            .remedy("overlay knows mountopt, skip_mount_home, ignore_chown_errors and sync")),
    }
}

fn refuse(key: &str, value: &str, remedy: &'static str) -> Error {
    Error::new(Kind::NotSupported, "read storage option").detail(format!("overlay.{key}={value}")).remedy(remedy)
}

/// Whether a boolean option has the value that it has when it isn't given.
fn is_false(value: &str) -> bool {
    matches!(value, "" | "0" | "f" | "F" | "false" | "False" | "FALSE")
}

/// Refuses options of a mount that would change what is stacked.
pub(crate) fn check_mount_options<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<MountFlags> {
    let parsed = MountFlags::parse(options);
    match OWN_KEYS.iter().find(|key| parsed.value(key).is_some()) {
        None => Ok(parsed),
        Some(key) => Err(Error::new(Kind::Usage, "read mount options")
            .detail(format!("{key} is the driver's to choose"))
            .remedy("leave it out")),
    }
}

/// The size of a layer can't be limited yet.
pub(crate) fn check_layer_options(options: &[(String, String)]) -> Result<()> {
    let Some((key, _)) = options.first() else { return Ok(()) };
    if matches!(key.trim_start_matches("overlay."), "size" | "inodes") {
        return Err(Error::new(Kind::NotSupported, "create layer").detail(format!(
            "{key}: --storage-opt is supported only for overlay over xfs with 'pquota' mount option, not by this driver"
        )));
    }
    Err(Error::new(Kind::Usage, "create layer").detail(format!("overlay: unknown storage option {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Options, Kind> {
        Options::parse(&[(key.to_owned(), value.to_owned())]).map_err(|error| error.kind())
    }

    #[test]
    fn options_without_effect_are_tolerated_and_needed_ones_refused_by_name() {
        assert_eq!(parse("mountopt", "nodev,metacopy=on").expect("mountopt").mountopt, "nodev,metacopy=on");
        for (key, value) in [("skip_mount_home", "true"), ("ignore_chown_errors", "false"), ("use_composefs", "0")] {
            assert!(parse(key, value).is_ok(), "{key}={value}");
        }
        for (key, value) in [("mount_program", "/usr/bin/fuse-overlayfs"), ("force_mask", "0700"), ("size", "1G")] {
            assert_eq!(parse(key, value).err(), Some(Kind::NotSupported), "{key}={value}");
        }
        assert_eq!(parse("nonsense", "1").err(), Some(Kind::Usage));
        assert_eq!(parse("mountopt", "nodev,upperdir=/etc").err(), Some(Kind::Usage));
    }
}
