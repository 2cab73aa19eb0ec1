//! `delete`, `delete-layer`, `delete-image`, `delete-container`.

use std::collections::BTreeMap;

use serde::Serialize;
use storage_core::{Result, Task};

use crate::app::Context;
use crate::engine::{self, Deletion, ItemKind, Store, ThreadKey};
use crate::flags::Flag;
use crate::output::{complain, say};
use crate::stop::{Outcome, Stop};

pub(crate) const DELETE_HELP: &str = "\
Deletes the container of that name with its layer, else the image's record, whose layers stay, else the layer. Unlike the
reference's `delete`, which checks nothing, it refuses what others still need.";
pub(crate) const IMAGE_HELP: &str = "\
Deletes the image and the layers that nothing else needs, and tells which on standard error, as the reference does. With
--test nothing is deleted, and the same is told.";

pub(crate) const IMAGE_FLAGS: &[Flag] = &[Flag::switch(&["--test", "-t"], "Only test removal"), super::JSON];

/// What `delete-image` tells of one image in JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Deleted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted_layers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

pub(crate) fn delete_layer(context: &mut Context) -> Outcome {
    each(context, |store, key, name, task| store.delete_layer(key, name, task).map(none), only_the_error)
}

pub(crate) fn delete_container(context: &mut Context) -> Outcome {
    each(context, |store, key, name, task| store.delete_container(key, name, task).map(none), only_the_error)
}

pub(crate) fn delete_image(context: &mut Context) -> Outcome {
    let deletion = if context.flags.on("--test") { Deletion::Pretended } else { Deletion::Real };
    let act =
        |store: &Store, key: &mut ThreadKey, name: &str, task: &Task| store.delete_image(key, name, deletion, task);
    each(context, act, |deleted_layers, error| Deleted { deleted_layers, error })
}

pub(crate) fn delete(context: &mut Context) -> Outcome {
    const ORDER: &[ItemKind] = &[ItemKind::Container, ItemKind::Image, ItemKind::Layer];
    let act = |store: &Store, key: &mut ThreadKey, name: &str, task: &Task| match store
        .sight()?
        .first_of(ORDER, name, "delete")?
        .1
        .kind()
    {
        ItemKind::Container => store.delete_container(key, name, task).map(none),
        ItemKind::Image => store.delete_image(key, name, Deletion::RecordOnly, task),
        ItemKind::Layer => store.delete_layer(key, name, task).map(none),
    };
    each(context, act, only_the_error)
}

fn none((): ()) -> Vec<String> {
    Vec::new()
}

fn only_the_error(_layers: Vec<String>, error: String) -> String {
    error
}

/// Deletes every argument by `act`, which says the layers that went with it, and tells what came of it; `answer` makes the
/// JSON of the layers and the error.
fn each<J: Serialize>(
    context: &mut Context,
    act: impl Fn(&Store, &mut ThreadKey, &str, &Task) -> Result<Vec<String>>,
    answer: impl Fn(Vec<String>, String) -> J,
) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let mut answers: BTreeMap<&str, J> = BTreeMap::new();
    let mut failure = None;
    let work = context.work("delete");
    for name in &context.args {
        let (layers, error) = match act(&store, &mut key, name, &work.task) {
            Ok(layers) => (layers, String::new()),
            Err(error) => {
                failure.get_or_insert(error.kind().code());
                (Vec::new(), error.to_string())
            }
        };
        if !context.flags.on("--json") {
            for layer in &layers {
                say(format_args!("{name}: {layer}"));
            }
            if !error.is_empty() {
                complain(format_args!("{name}: {error}"));
            }
        }
        answers.insert(name, answer(layers, error));
    }
    drop(work);
    if context.flags.on("--json") {
        context.out.json(&answers)?;
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}
