//! `metadata` and `set-metadata`.

use std::collections::BTreeMap;

use storage_core::Error;

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::output::complain;
use crate::stop::{Outcome, Stop, usage};

pub(crate) const FLAGS: &[Flag] = &[Flag::switch(&["--quiet", "-q"], "Omit names and IDs"), super::JSON];
pub(crate) const SET_FLAGS: &[Flag] =
    &[Flag::value(&["--metadata", "-m"], "Metadata"), Flag::value(&["--metadata-file", "-f"], "Metadata File")];

pub(crate) fn metadata(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut failure = None;
    for name in &context.args {
        match store.lookup(name) {
            Ok(layer) => {
                let text = &layer.metadata;
                found.insert(name, text.strip_suffix('\n').unwrap_or(text).to_owned());
            }
            Err(error) => {
                complain(&error);
                failure.get_or_insert(error.kind().code());
            }
        }
    }
    if context.flags.on("--json") {
        context.out.json(&found)?;
    } else {
        let quiet = context.flags.on("--quiet");
        for name in &context.args {
            let text = found.get(name.as_str()).map_or("", String::as_str);
            let label = if quiet { String::new() } else { format!("{name}: ") };
            context.out.line(format_args!("{label}{text}"))?;
        }
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}

pub(crate) fn set_metadata(context: &mut Context) -> Outcome {
    let flags = &context.flags;
    let text = match (flags.value("--metadata-file"), flags.value("--metadata")) {
        (Some(file), _) => std::fs::read_to_string(file).map_err(|source| Error::os("read", file, source))?,
        (None, Some(text)) => text.to_owned(),
        (None, None) => return Err(usage("no new metadata provided", "give it with -m TEXT or -f FILE").into()),
    };
    let (store, mut key) = engine::open(context)?;
    store.set_metadata(&mut key, &context.args[0], &text)?;
    Ok(())
}
