//! What `layer`, `image` and `container` have in common: each argument is looked up, and what is found is shown.

use std::sync::Arc;

use serde::Serialize;
use storage_core::Result;

use crate::app::Context;
use crate::output::complain;
use crate::stop::{Outcome, Stop};

/// Looks every argument up by `find` and shows the records found, as one JSON list or one after the other by `show`. What is
/// not found is told, and the first failure gives the exit code.
pub(crate) fn each<R: Serialize>(
    context: &mut Context,
    find: impl Fn(&str) -> Result<(usize, Arc<R>)>,
    mut show: impl FnMut(&mut Context, usize, &R) -> Outcome,
) -> Outcome {
    let mut found = Vec::new();
    let mut failure = None;
    for name in &context.args {
        match find(name) {
            Ok(record) => found.push(record),
            Err(error) => {
                complain(&error);
                failure.get_or_insert(error.kind().code());
            }
        }
    }
    if context.json() {
        context.out.json(&found.iter().map(|(_, record)| &**record).collect::<Vec<&R>>())?;
    } else {
        found.iter().try_for_each(|(store, record)| show(context, *store, record))?;
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}

/// Says that what was shown is in additional store number `store`; 0 is the store itself.
pub(crate) fn read_only(context: &mut Context, store: usize) -> Outcome {
    if store == 0 { Ok(()) } else { context.out.line("Read Only: true") }
}
