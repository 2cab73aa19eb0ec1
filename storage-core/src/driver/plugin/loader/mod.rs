//! Finding shared objects, checking them, and adding their drivers to a registry.

mod load;
mod walk;
#[cfg(test)]
mod walk_tests;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::host::{Silence, Watch};
use crate::driver::{Descriptor, Registry};
use crate::error::{Error, Kind, Result};

/// Where plugins are looked for when nobody says anything else.
pub const DEFAULT_DIRECTORY: &str = "/usr/lib/lamina/drivers";

/// The variable that names directories of plugins, with colons between them.
pub const PATH_VARIABLE: &str = "LAMINA_PLUGIN_PATH";

/// Which plugins a program loads. What a store's files say plays no part in it.
///
/// Every file ending in `.so` in the directories is loaded, the directories in their order and the files by name. A plugin
/// whose name is taken, by a driver that is linked in or by an earlier plugin, is refused.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    directories: Vec<PathBuf>,
    watch: Watch,
}

/// A plugin, or a directory of plugins, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The file or the directory.
    pub path: PathBuf,
    /// The condition.
    pub kind: Kind,
    /// Why: the text of the error.
    pub reason: String,
}

impl Refused {
    /// The refusal of what stands at `path` with `error`.
    pub fn new(path: PathBuf, error: &Error) -> Self {
        Refused { path, kind: error.kind(), reason: error.to_string() }
    }
}

impl Plugins {
    /// No directory, and nobody who is told of calls that don't come back.
    pub fn new() -> Self {
        Plugins::default()
    }

    /// Looks in these directories too, after those that were named before.
    pub fn in_directories(mut self, directories: impl IntoIterator<Item = PathBuf>) -> Self {
        for directory in directories {
            if !self.directories.contains(&directory) {
                self.directories.push(directory);
            }
        }
        self
    }

    /// Calls `notice` once, from another thread, for each call into a plugin of which nothing was heard for `after`: it
    /// neither came back, nor reported work. The call goes on.
    pub fn noticing(mut self, after: Duration, notice: Arc<dyn Fn(&Silence) + Send + Sync>) -> Self {
        self.watch = Watch::telling(after, notice);
        self
    }

    /// Loads what stands in the directories and adds it to `registry`, where what was refused is noted with its reason
    /// ([`Registry::refused`]).
    ///
    /// * A file that is loaded into `registry` already is passed over.
    /// * The [default directory](DEFAULT_DIRECTORY) may be missing; another that is missing counts as refused.
    pub fn load_into(&self, registry: &mut Registry) {
        for directory in self.directories.iter().filter(|directory| !is_default_and_missing(directory)) {
            match walk::plugins_in(directory) {
                Ok(files) => {
                    for path in files {
                        if registry.has_file(&path) {
                            continue;
                        }
                        if let Err(error) = self.add(registry, &path) {
                            registry.refuse(Refused::new(path, &error));
                        }
                    }
                }
                Err(error) => registry.refuse(Refused::new(directory.clone(), &error)),
            }
        }
    }

    /// Loads the plugin `file` and adds its driver to `registry`.
    ///
    /// * Fails with [`Kind::DuplicateName`] when its name is taken; with what [`Plugins::load`] fails with.
    pub fn add(&self, registry: &mut Registry, file: &Path) -> Result<Descriptor> {
        let descriptor = self.load(file)?;
        registry.add(descriptor).map_err(|error| error.at(file))?;
        Ok(descriptor)
    }

    /// Loads the plugin `file`. It stays loaded until the process ends, also when it is refused after a look at its table.
    ///
    /// The driver is like one that is linked in: a registry of its own or [`Registry::add`] takes the descriptor.
    ///
    /// * Fails with [`Kind::Permission`] when others could have written the file or could exchange it, with
    ///   [`Kind::BadPlugin`] when it is no plugin, of another version, or incomplete.
    pub fn load(&self, file: &Path) -> Result<Descriptor> {
        let opened = walk::open_plugin(file)?;
        load::load(opened, file, self.watch.clone())
    }
}

fn is_default_and_missing(directory: &Path) -> bool {
    directory == Path::new(DEFAULT_DIRECTORY) && std::fs::symlink_metadata(directory).is_err()
}

/// The directories that a value of [`PATH_VARIABLE`] names.
pub fn variable_directories(value: &OsStr) -> Vec<PathBuf> {
    value
        .as_bytes()
        .split(|&byte| byte == b':')
        .filter(|part| !part.is_empty())
        .map(OsStr::from_bytes)
        .map(PathBuf::from)
        .collect()
}
