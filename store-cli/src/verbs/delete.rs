//! `delete` and `delete-layer`.

use std::collections::BTreeMap;

use crate::app::Context;
use crate::engine;
use crate::output::complain;
use crate::stop::{Outcome, Stop};

pub(crate) const DELETE_HELP: &str = "\
The same as `delete-layer`: the reference's `delete` checks nothing, and would leave children without their parent.";

pub(crate) fn delete(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let mut answers: BTreeMap<&str, String> = BTreeMap::new();
    let mut failure = None;
    let work = context.work("delete");
    for name in &context.args {
        let answer = store.delete_layer(&mut key, name, &work.task);
        if let Err(error) = &answer {
            failure.get_or_insert(error.kind().code());
            if !context.flags.on("--json") {
                complain(format_args!("{name}: {error}"));
            }
        }
        answers.insert(name, answer.err().map_or_else(String::new, |error| error.to_string()));
    }
    drop(work);
    if context.flags.on("--json") {
        context.out.json(&answers)?;
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}
