//! From settings to a configuration.

use std::path::PathBuf;

use super::driver_options::{self, DriverOptions, plain_name};
use super::keys::PULL_OPTIONS;
use super::search::{Audience, File};
use super::settings::Settings;
use super::value::Value;
use super::{AutoUserns, Configuration, Environment, Source, document};
use crate::error::{Error, Kind, Result};

/// Replaces the driver.
const DRIVER: &str = "STORAGE_DRIVER";
/// Replaces the options of drivers.
const OPTIONS: &str = "STORAGE_OPTS";

/// The least and the greatest number of ids of an automatic user namespace, when nothing is configured.
const AUTO_USERNS: (u32, u32) = (1024, 65536);

/// What `files` and variables come to.
pub(super) fn assemble(environment: &Environment, files: Vec<File>) -> Result<Configuration> {
    let mut configuration = Configuration::default();
    let mut settings = Settings::default();
    for file in files {
        let mut document = document::read(&file.path, &file.text)?;
        configuration.warnings.append(&mut document.warnings);
        configuration.notes.append(&mut document.notes);
        if environment.is_ordinary() && file.audience == Audience::Everyone {
            document
                .settings
                .retain(|setting| !matches!(setting.key.as_str(), "storage.graphroot" | "storage.runroot"));
        }
        settings.add(&file.path, document);
        configuration.files.push(file.path);
    }
    let variable = environment.raw_variable(OPTIONS);
    if variable.is_some() {
        settings.retain(|key| !driver_options::is_driver_option(key));
    }
    configuration.sources = settings.sources();
    configuration.take_places(environment, &mut settings)?;
    configuration.take_driver(environment, &settings);
    let driver = configuration.driver.clone();
    let apart = match variable {
        Some(text) => {
            configuration.sources.insert("storage.options".into(), Source::Variable(OPTIONS));
            DriverOptions::tell_apart(split_options(&text.to_string_lossy()), driver.as_deref())?
        }
        None => DriverOptions {
            options: driver_options::from_settings(&settings, driver.as_deref()),
            image_stores: settings.list("storage.options.additionalimagestores").iter().map(PathBuf::from).collect(),
            layer_stores: settings.list("storage.options.additionallayerstores").to_vec(),
        },
    };
    configuration.take_options(apart);
    configuration.take_rest(&settings)?;
    Ok(configuration)
}

/// The options in a list with commas.
fn split_options(text: &str) -> Vec<String> {
    text.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

/// The driver that the variable names.
pub(super) fn driver_variable(environment: &Environment) -> Option<(String, Source)> {
    let name = environment.variable(DRIVER)?;
    Some((name.to_string_lossy().into_owned(), Source::Variable(DRIVER)))
}

/// The options that the variable lists.
pub(super) fn options_variable(environment: &Environment) -> Option<(Vec<String>, Source)> {
    let text = environment.raw_variable(OPTIONS)?;
    Some((split_options(&text.to_string_lossy()), Source::Variable(OPTIONS)))
}

impl Configuration {
    fn take_places(&mut self, environment: &Environment, settings: &mut Settings) -> Result<()> {
        let roots = environment.default_roots();
        let mut graph = place(environment, settings, "storage.graphroot")?;
        if graph.is_none() && environment.is_ordinary() {
            graph = place(environment, settings, "storage.rootless_storage_path")?;
        }
        let run = place(environment, settings, "storage.runroot")?;
        for (key, found, place, default) in [
            ("storage.graphroot", graph, &mut self.graph_root, roots.graph),
            ("storage.runroot", run, &mut self.run_root, roots.run),
        ] {
            let (path, source) = found.unwrap_or((default, Source::Default));
            *place = path;
            self.sources.insert(key.into(), source);
        }
        let Some((path, source)) = place(environment, settings, "storage.imagestore")? else { return Ok(()) };
        if path == self.graph_root {
            return Err(wrong(&source, "storage.imagestore", "it is the graph root as well")
                .remedy("name another directory, or leave storage.imagestore out"));
        }
        self.image_store = Some(path);
        Ok(())
    }

    fn take_driver(&mut self, environment: &Environment, settings: &Settings) {
        self.driver = settings.text("storage.driver").map(str::to_owned);
        if let Some((driver, source)) = driver_variable(environment) {
            self.driver = Some(driver);
            self.sources.insert("storage.driver".into(), source);
        }
        self.driver = self.driver.take().map(|name| plain_name(&name).to_owned());
        self.driver_priority = settings.list("storage.driver_priority").to_vec();
    }

    /// Takes options, with the stores that were among them.
    pub(super) fn take_options(&mut self, apart: DriverOptions) {
        self.sync = driver_options::layer_sync(&apart.options, self.driver.as_deref());
        self.driver_options = apart.options;
        self.additional_image_stores = apart.image_stores;
        self.additional_layer_stores = apart.layer_stores;
    }

    fn take_rest(&mut self, settings: &Settings) -> Result<()> {
        self.transient = settings.is_on("storage.transient_store");
        self.disable_volatile = settings.is_on("storage.options.disable-volatile");
        self.plugin_directories = settings.list("lamina.plugin_directories").iter().map(PathBuf::from).collect();
        self.pull_options =
            settings.texts_below(PULL_OPTIONS).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let (least, most) = ("storage.options.auto-userns-min-size", "storage.options.auto-userns-max-size");
        let (min, max) = (settings.number(least), settings.number(most));
        if let (Some(min), Some(max), Some(source)) = (min, max, settings.source(least))
            && min > max
        {
            return Err(wrong(source, least, &format!("{min} is more than auto-userns-max-size, which is {max}"))
                .remedy("make the least size the smaller one"));
        }
        self.auto_userns = AutoUserns {
            root_user: settings.text("storage.options.root-auto-userns-user").map(str::to_owned),
            min_size: min.unwrap_or(AUTO_USERNS.0.min(max.unwrap_or(u32::MAX))),
            max_size: max.unwrap_or(AUTO_USERNS.1.max(min.unwrap_or(0))),
        };
        Ok(())
    }
}

/// The path that `key` is set to, with who set it.
fn place(environment: &Environment, settings: &mut Settings, key: &str) -> Result<Option<(PathBuf, Source)>> {
    let Some((Value::Text(text), source)) = settings.take(key) else { return Ok(None) };
    if text.is_empty() {
        return Ok(None);
    }
    match environment.expand_path(&text) {
        Ok(path) => Ok(Some((path, source))),
        Err(reason) => Err(wrong(&source, key, &reason)
            .remedy("write the path from / on; $HOME, $UID, $USER and other variables that are set may stand in it")),
    }
}

/// An error about a value that came from `source`.
fn wrong(source: &Source, key: &str, reason: &str) -> Error {
    match source {
        Source::File { path, line } => document::refused(path, *line, &format!("{key}: {reason}")),
        other => Error::new(Kind::Usage, "read configuration").detail(format!("{other}: {key}: {reason}")),
    }
}
