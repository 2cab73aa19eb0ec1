//! Where stores live and how they are used when nobody says so: storage.conf, the environment, the defaults.
//!
//! [`Configuration::load`] is for programs that open stores; the store itself never reads a configuration. All of it is a
//! function of an [`Environment`]. Files and keys are those of containers/storage; `docs/configuration.md` lists them.

mod assemble;
mod document;
mod driver_options;
mod environment;
mod keys;
mod search;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use driver_options::DriverOptions;
pub use environment::{Environment, Roots};

use crate::error::{Error, Kind, Result};

/// What is configured. The keys of [`Configuration::sources`] are those of the file, with dots (`storage.graphroot`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The directory of everything that lasts.
    pub graph_root: PathBuf,
    /// The directory of what is gone after a reboot.
    pub run_root: PathBuf,
    /// A separate place for images and their layers.
    pub image_store: Option<PathBuf>,
    /// Whether containers are forgotten by a reboot.
    pub transient: bool,
    /// The driver by name; `overlay2` has become `overlay`.
    pub driver: Option<String>,
    /// Drivers to try in this order when none is named.
    pub driver_priority: Vec<String>,
    /// Stores with images that may only be read.
    pub additional_image_stores: Vec<PathBuf>,
    /// Stores of layers that a helper mounts; see [`Configuration::check_supported`].
    pub additional_layer_stores: Vec<String>,
    /// Options as drivers are told them, `driver.key=value`: those of the driver, or of every one when none is named.
    pub driver_options: Vec<String>,
    /// What `sync` among the driver's options asks for.
    pub sync: Option<LayerSync>,
    /// Automatic user namespaces.
    pub auto_userns: AutoUserns,
    /// Whether mounts are never volatile.
    pub disable_volatile: bool,
    /// Directories of driver plugins: a key of Lamina's own, in a table of its own.
    pub plugin_directories: Vec<PathBuf>,
    /// What the tools that pull images are told.
    pub pull_options: BTreeMap<String, String>,
    /// Who set each key that counts, and the two roots in any case.
    pub sources: BTreeMap<String, Source>,
    /// What a person should be told: keys that nobody knows, each with its file.
    pub warnings: Vec<String>,
    /// What a person may want to know: keys of old versions, which mean nothing now.
    pub notes: Vec<String>,
    /// The files that were read, the one that has the last word last.
    pub files: Vec<PathBuf>,
}

/// Whether the content of a layer is flushed before its record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerSync {
    /// It isn't, as far as the reference is concerned.
    None,
    /// Its filesystem is.
    Filesystem,
}

/// Automatic user namespaces of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoUserns {
    /// Whose ranges of ids serve when root makes one.
    pub root_user: Option<String>,
    /// The least number of ids.
    pub min_size: u32,
    /// The greatest number of ids.
    pub max_size: u32,
}

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
    },
    /// A variable of the environment.
    Variable(&'static str),
    /// The caller, see [`Given`].
    Caller,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Variable(name) => write!(f, "${name}"),
            Source::Caller => f.write_str("given"),
        }
    }
}

/// What a caller says itself, say by flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The graph root.
    pub graph_root: Option<PathBuf>,
    /// The run root.
    pub run_root: Option<PathBuf>,
    /// The driver.
    pub driver: Option<String>,
    /// Options for drivers, `[driver.]key=value`.
    pub driver_options: Vec<String>,
}

impl Configuration {
    /// What files, variables and defaults come to.
    pub fn load(environment: &Environment) -> Result<Self> {
        assemble::assemble(environment, search::files(environment)?)
    }

    /// The same of the one file `path`, which must be there; no other is read.
    pub fn load_file(environment: &Environment, path: &Path) -> Result<Self> {
        assemble::assemble(environment, vec![search::named(path, "the argument")?])
    }

    /// What `given` comes to. When it is empty, that is [`Configuration::load`]. Else a root that it lacks is the configured
    /// one, driver and options that it lacks come from their variables, and nothing else that files say applies: options
    /// of one store may be wrong for another. No file is read when both roots are given.
    pub fn load_given(environment: &Environment, given: Given) -> Result<Self> {
        if given == Given::default() {
            return Configuration::load(environment);
        }
        let mut configuration = Configuration::default();
        if given.graph_root.is_none() || given.run_root.is_none() {
            let loaded = Configuration::load(environment)?;
            configuration.graph_root = loaded.graph_root;
            configuration.run_root = loaded.run_root;
            configuration.sources = loaded.sources;
            configuration.sources.retain(|key, _| matches!(key.as_str(), "storage.graphroot" | "storage.runroot"));
            (configuration.warnings, configuration.notes) = (loaded.warnings, loaded.notes);
            configuration.files = loaded.files;
        }
        configuration.overrule(environment, given)?;
        Ok(configuration)
    }

    fn overrule(&mut self, environment: &Environment, given: Given) -> Result<()> {
        let mut set = |key: &str, source| self.sources.insert(key.to_owned(), source);
        for (key, given, place) in [
            ("storage.graphroot", given.graph_root, &mut self.graph_root),
            ("storage.runroot", given.run_root, &mut self.run_root),
        ] {
            if let Some(path) = given {
                *place = path;
                set(key, Source::Caller);
            }
        }
        let driver = given.driver.map(|driver| (driver, Source::Caller));
        if let Some((driver, source)) = driver.or_else(|| assemble::driver_variable(environment)) {
            self.driver = Some(driver_options::plain_name(&driver).to_owned());
            set("storage.driver", source);
        }
        let options = Some((given.driver_options, Source::Caller)).filter(|(options, _)| !options.is_empty());
        if let Some((options, source)) = options.or_else(|| assemble::options_variable(environment)) {
            set("storage.options", source);
            self.take_options(DriverOptions::tell_apart(options, self.driver.as_deref())?);
        }
        Ok(())
    }

    /// Fails with [`Kind::NotSupported`] on what this version can't work with at all. To be asked before a store is opened.
    pub fn check_supported(&self) -> Result<()> {
        let Some(store) = self.additional_layer_stores.first() else { return Ok(()) };
        let key = "storage.options.additionallayerstores";
        let source = self.sources.get(key).or_else(|| self.sources.get("storage.options"));
        let place = source.map_or_else(String::new, |source| format!("{source}: "));
        Err(Error::new(Kind::NotSupported, "use configuration")
            .detail(format!("{place}additional layer stores ({store}) are not supported"))
            .remedy(
                "take additionallayerstores out, and pull the images into the store or into an additional image store",
            ))
    }
}
