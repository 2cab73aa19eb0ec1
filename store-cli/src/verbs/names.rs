//! `get-names`, `add-names`, `remove-names`, `set-names`.

use crate::app::Context;
use crate::engine::{self, Layer, Store, ThreadKey};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const FLAGS: &[Flag] = &[Flag::list(&["--name", "-n"], "New name"), super::JSON];

pub(crate) fn get(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let names = store.lookup(&context.args[0])?.names.clone();
    if context.json() {
        return context.out.json(&names);
    }
    names.iter().try_for_each(|name| context.out.line(name))
}

pub(crate) fn add(context: &mut Context) -> Outcome {
    change(context, Store::add_names)
}

pub(crate) fn remove(context: &mut Context) -> Outcome {
    change(context, Store::remove_names)
}

pub(crate) fn set(context: &mut Context) -> Outcome {
    change(context, Store::set_names)
}

type Changer = fn(&Store, &mut ThreadKey, &str, &[String]) -> storage_core::Result<Layer>;

fn change(context: &mut Context, changer: Changer) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let layer = changer(&store, &mut key, &context.args[0], context.flags.list("--name"))?;
    if context.json() {
        let names = layer.names;
        return context.out.json(&(!names.is_empty()).then_some(names));
    }
    Ok(())
}
