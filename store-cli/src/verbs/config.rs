//! `config`: what is configured, and who said so.

use std::path::Path;

use serde_json::{Map, Value, json};
use storage_core::config::Configuration;

use crate::app::Context;
use crate::globals::{self, Configured};
use crate::output::complain;
use crate::roots;
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
Prints what flags, configuration files, environment and defaults come to, in the names of the reference; `sources` says who
set each key, `files` what was read. With a file, what that file alone comes to. Opens no store.";

pub(crate) fn config(context: &mut Context) -> Outcome {
    let configuration = match context.args.first() {
        Some(file) => Configuration::load_file(&roots::environment(), Path::new(file))?,
        None => globals::configuration(&context.flags, Configured::Yes)?,
    };
    configuration.warnings.iter().for_each(|warning| complain(format_args!("warning: {warning}")));
    context.out.json(&shown(&configuration))
}

/// The fields that the reference shows, left out where it leaves them out, then Lamina's own.
fn shown(configuration: &Configuration) -> Value {
    let auto = &configuration.auto_userns;
    let is_set = |key: &str| configuration.sources.contains_key(key);
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        let nothing = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if !nothing {
            fields.insert(name.to_owned(), value);
        }
    };
    put("runroot", json!(configuration.run_root));
    put("root", json!(configuration.graph_root));
    put("imagestore", json!(configuration.image_store));
    put("driver", json!(configuration.driver));
    put("driver-priority", json!(configuration.driver_priority));
    put("driver-options", json!(driver_options(configuration)));
    put("root_auto_ns_user", json!(auto.root_user));
    put("auto_userns_min_size", json!(is_set("storage.options.auto-userns-min-size").then_some(auto.min_size)));
    put("auto_userns_max_size", json!(is_set("storage.options.auto-userns-max-size").then_some(auto.max_size)));
    put("PullOptions", json!(configuration.pull_options));
    put("disable-volatile", json!(configuration.disable_volatile));
    put("plugin-directories", json!(configuration.plugin_directories));
    put("transient_store", json!(configuration.transient));
    let sources = configuration.sources.iter().map(|(key, source)| (key.clone(), source.to_string().into()));
    fields.insert("sources".to_owned(), Value::Object(sources.collect()));
    for (name, list) in [("warnings", &configuration.warnings), ("notes", &configuration.notes)] {
        fields.insert(name.to_owned(), json!(list));
    }
    fields.insert("files".to_owned(), json!(configuration.files));
    Value::Object(fields)
}

/// Options as the reference lists them: stores are options to it.
fn driver_options(configuration: &Configuration) -> Vec<String> {
    let images = configuration.additional_image_stores.iter().map(|path| format!("imagestore={}", path.display()));
    let layers = configuration.additional_layer_stores.iter().map(|store| format!("additionallayerstore={store}"));
    images.chain(layers).chain(configuration.driver_options.iter().cloned()).collect()
}
