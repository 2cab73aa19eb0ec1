//! `get-names`, `add-names`, `remove-names`, `set-names`.

use crate::app::Context;
use crate::engine::{self, NameChange};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const FLAGS: &[Flag] = &[Flag::list(&["--name", "-n"], "New name"), super::JSON];

pub(crate) fn get(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let names = store.sight()?.named(&context.args[0], "get names")?.1.names().to_vec();
    if context.json() {
        return context.out.json(&names);
    }
    names.iter().try_for_each(|name| context.out.line(name))
}

pub(crate) fn add(context: &mut Context) -> Outcome {
    change(context, NameChange::Add)
}

pub(crate) fn remove(context: &mut Context) -> Outcome {
    change(context, NameChange::Remove)
}

pub(crate) fn set(context: &mut Context) -> Outcome {
    change(context, NameChange::Set)
}

fn change(context: &mut Context, change: NameChange) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let item = store.change_names(&mut key, &context.args[0], change, context.flags.list("--name"))?;
    if context.json() {
        let names = item.names();
        return context.out.json(&(!names.is_empty()).then_some(names));
    }
    Ok(())
}
