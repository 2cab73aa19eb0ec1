//! Every key of a storage.conf, and what its value may be.

use super::driver_options::DRIVERS;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// A string with a path, in which variables are replaced.
    Path,
    /// Strings.
    List,
    /// Strings with absolute paths.
    Paths,
    /// `true` or `false`.
    Switch,
    /// A string with one of Go's spellings of true and false.
    SwitchText,
    /// A number of ids.
    Count,
    /// A string with a size (`10G`).
    Size,
    /// A string with a number of inodes.
    Inodes,
    /// A string with `shared`, `private` or an octal number.
    MaskText,
    /// That, or an integer.
    Mask,
    /// A string with `none` or `filesystem`.
    Sync,
}

/// The keys outside the tables of drivers.
const KEYS: &[(&str, Shape)] = &[
    ("storage.driver", Shape::Text),
    ("storage.driver_priority", Shape::List),
    ("storage.runroot", Shape::Path),
    ("storage.graphroot", Shape::Path),
    ("storage.imagestore", Shape::Path),
    ("storage.rootless_storage_path", Shape::Path),
    ("storage.transient_store", Shape::Switch),
    ("storage.options.additionalimagestores", Shape::Paths),
    ("storage.options.additionallayerstores", Shape::List),
    ("storage.options.size", Shape::Size),
    ("storage.options.ignore_chown_errors", Shape::SwitchText),
    ("storage.options.force_mask", Shape::Mask),
    ("storage.options.mount_program", Shape::Text),
    ("storage.options.mountopt", Shape::Text),
    ("storage.options.skip_mount_home", Shape::SwitchText),
    ("storage.options.use_composefs", Shape::SwitchText),
    ("storage.options.disable-volatile", Shape::Switch),
    ("storage.options.root-auto-userns-user", Shape::Text),
    ("storage.options.auto-userns-min-size", Shape::Count),
    ("storage.options.auto-userns-max-size", Shape::Count),
    ("lamina.plugin_directories", Shape::Paths),
];

/// The table whose keys are whatever the tools that pull understand.
pub(super) const PULL_OPTIONS: &str = "storage.options.pull_options";

/// Keys, and tables with all that is in them, that older versions of the reference knew. Nothing comes of them now.
const OLD: &[&str] = &[
    "storage.options.aufs",
    "storage.options.devicemapper",
    "storage.options.devmapper",
    "storage.options.thinpool",
    "storage.options.remap-uids",
    "storage.options.remap-gids",
    "storage.options.remap-user",
    "storage.options.remap-group",
    "storage.options.override_kernel_check",
    "storage.options.overlay.override_kernel_check",
    "storage.options.ostree_repo",
    "storage.options.overlay.ostree_repo",
];

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has values of this shape.
    Value(Shape),
    /// It is a table.
    Table,
    /// It was once.
    Old,
    /// Nothing.
    Unknown,
}

/// What is known of `key`, whose path is written with dots.
pub(super) fn known(key: &str) -> Known {
    if OLD.contains(&key) || key.starts_with("storage.options.directlvm_") {
        return Known::Old;
    }
    if let Some((_, shape)) = KEYS.iter().find(|(known, _)| *known == key) {
        return Known::Value(*shape);
    }
    match key.strip_prefix("storage.options.").map(|rest| rest.split_once('.').unwrap_or((rest, ""))) {
        None if matches!(key, "storage" | "storage.options" | "lamina") => Known::Table,
        Some(("pull_options", "")) => Known::Table,
        Some(("pull_options", _)) => Known::Value(Shape::Text),
        Some((table, inner)) => match DRIVERS.iter().find(|driver| driver.name == table) {
            Some(_) if inner.is_empty() => Known::Table,
            Some(driver) => driver.shape(inner).map_or(Known::Unknown, Known::Value),
            None => Known::Unknown,
        },
        None => Known::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_now_and_then_are_told_from_unknown_ones() {
        for (key, what) in [
            ("storage", Known::Table),
            ("storage.options.overlay", Known::Table),
            ("lamina", Known::Table),
            ("lamina.plugin_directories", Known::Value(Shape::Paths)),
            ("lamina.plugin", Known::Unknown),
            ("storage.graphroot", Known::Value(Shape::Path)),
            ("storage.options.overlay.sync", Known::Value(Shape::Sync)),
            ("storage.options.pull_options.anything", Known::Value(Shape::Text)),
            ("storage.options.thinpool", Known::Old),
            ("storage.options.directlvm_device", Known::Old),
            ("storage.options.remap-user", Known::Old),
            ("storage.option", Known::Unknown),
            ("storage.options.vfs.mountopt", Known::Unknown),
            ("storage.options.xfs", Known::Unknown),
            ("engine", Known::Unknown),
        ] {
            assert_eq!(known(key), what, "{key}");
        }
    }
}
