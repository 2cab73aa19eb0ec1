//! `status`, `version`, `config`.

use serde_json::json;

use crate::app::Context;
use crate::engine;
use crate::output::say;
use crate::stop::{Outcome, not_yet};

pub(crate) const CONFIG_HELP: &str = "\
What flags, environment and defaults come to. Configuration files are not read by this version.";

pub(crate) fn status(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    show(context, &store.status())
}

pub(crate) fn version(context: &mut Context) -> Outcome {
    show(context, &[("Version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())])
}

/// Pairs as the reference shows them: text on standard error, JSON on standard output.
fn show(context: &mut Context, pairs: &[(String, String)]) -> Outcome {
    if context.json() {
        return context.out.json(&pairs);
    }
    for (key, value) in pairs {
        say(format_args!("{key}: {value}"));
    }
    Ok(())
}

pub(crate) fn config(context: &mut Context) -> Outcome {
    if let Some(file) = context.args.first() {
        return Err(not_yet(&format!("config {file}"), "reader of configuration files").into());
    }
    let globals = &context.globals;
    let driver_options = (!globals.driver_options.is_empty()).then_some(&globals.driver_options);
    let options = json!({
        "RunRoot": globals.run_root,
        "GraphRoot": globals.graph_root,
        "GraphDriverName": globals.driver.clone().unwrap_or_default(),
        "GraphDriverOptions": driver_options,
    });
    context.out.json(&options)
}
