//! `get-image-dir`, `get-container-dir`, and the same of the run root.

use std::path::PathBuf;

use storage_core::Result;

use crate::app::Context;
use crate::engine::{self, Store};
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
The directory is there for whoever uses the store, is made when it is missing, and goes when its owner is deleted.";
pub(crate) const RUN_HELP: &str = "\
The directory is there for whoever uses the store, is made when it is missing, and is gone after a reboot.";

/// Prints what `find` finds for the argument.
pub(crate) fn directory(context: &mut Context, find: fn(&Store, &str) -> Result<PathBuf>) -> Outcome {
    let (store, _key) = engine::open(context)?;
    context.out.line(find(&store, &context.args[0])?.display())
}
