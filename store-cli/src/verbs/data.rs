//! `list-layer-data`, `get-layer-data`, `set-layer-data`.

use storage_core::Error;

use crate::app::Context;
use crate::engine::{self, ItemKind};
use crate::flags::Flag;
use crate::input::Input;
use crate::stop::Outcome;

pub(crate) const GET_HELP: &str = "Writes the item as it is to standard output, or to a file.";
pub(crate) const SET_HELP: &str = "Reads the item from standard input, or from a file.";
pub(crate) const GET_FLAGS: &[Flag] = &[Flag::value(&["--file", "-f"], "Write to file")];
pub(crate) const SET_FLAGS: &[Flag] = &[Flag::value(&["--file", "-f"], "Read from file")];

pub(crate) fn list(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let names = store.data_names(ItemKind::Layer, &context.args[0])?;
    if context.json() {
        return context.out.json(&(!names.is_empty()).then_some(names));
    }
    names.iter().try_for_each(|name| context.out.line(name))
}

pub(crate) fn get(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let item = store.data(ItemKind::Layer, &context.args[0], &context.args[1])?;
    match context.flags.value("--file") {
        Some(file) => Ok(std::fs::write(file, item).map_err(|source| Error::os("write", file, source))?),
        None => context.out.bytes(&item),
    }
}

pub(crate) fn set(context: &mut Context) -> Outcome {
    let mut input = Input::open("set layer data", context.flags.value("--file"), &context.cancel)?;
    let (store, mut key) = engine::open(context)?;
    Ok(store.set_data(&mut key, ItemKind::Layer, &context.args[0], &context.args[1], &mut input)?)
}
