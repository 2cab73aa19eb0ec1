//! `status`, `version`.

use crate::app::Context;
use crate::engine;
use crate::output::say;
use crate::stop::Outcome;

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
