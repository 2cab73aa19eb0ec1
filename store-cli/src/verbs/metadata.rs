//! `metadata` and `set-metadata`.

use std::collections::BTreeMap;

use storage_core::{Error, Result};

use crate::app::Context;
use crate::engine;
use crate::flags::{Flag, Parsed};
use crate::output::complain;
use crate::stop::{Outcome, Stop, usage};

pub(crate) const FLAGS: &[Flag] = &[Flag::switch(&["--quiet", "-q"], "Omit names and IDs"), super::JSON];
pub(crate) const SET_FLAGS: &[Flag] = &[TEXT, FILE];

/// Metadata on the command line.
pub(super) const TEXT: Flag = Flag::value(&["--metadata", "-m"], "Metadata");
/// Metadata in a file.
pub(super) const FILE: Flag = Flag::value(&["--metadata-file", "-f"], "Metadata File");

pub(crate) fn metadata(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut failure = None;
    let sight = store.sight()?;
    for name in &context.args {
        match sight.item(name, "look up metadata") {
            Ok((_, item)) => {
                let text = item.metadata();
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
    let text =
        given(&context.flags)?.ok_or_else(|| usage("no new metadata provided", "give it with -m TEXT or -f FILE"))?;
    let (store, mut key) = engine::open(context)?;
    store.set_metadata(&mut key, &context.args[0], &text)?;
    Ok(())
}

/// The metadata that flags give; a file goes before a text.
pub(super) fn given(flags: &Parsed) -> Result<Option<String>> {
    match (flags.value("--metadata-file"), flags.value("--metadata")) {
        (Some(file), _) => std::fs::read_to_string(file).map(Some).map_err(|source| Error::os("read", file, source)),
        (None, text) => Ok(text.map(str::to_owned)),
    }
}
