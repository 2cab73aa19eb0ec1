//! `exists`.

use std::collections::BTreeMap;

use storage_core::Kind;

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::stop::{Outcome, Stop, code};

pub(crate) const HELP: &str = "\
Exit code 0: all exist; 1: one doesn't; anything else: it could not be found out (the reference says \"false\" then).";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::switch(&["--quiet", "-q"], "Don't print names"),
    Flag::switch(&["--layer", "-l"], "Only succeed if the match is a layer"),
    Flag::switch(&["--image", "-i"], "Only succeed if the match is an image").later("images"),
    Flag::switch(&["--container", "-c"], "Only succeed if the match is a container").later("containers"),
    super::JSON,
];

pub(crate) fn exists(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let mut answers: BTreeMap<&str, bool> = BTreeMap::new();
    for name in &context.args {
        let there = match store.lookup(name) {
            Ok(_) => true,
            Err(error) if error.kind() == Kind::LayerUnknown => false,
            Err(error) => return Err(error.into()),
        };
        answers.insert(name, there);
    }
    if context.flags.on("--json") {
        context.out.json(&answers)?;
    } else if !context.flags.on("--quiet") {
        for (name, there) in &answers {
            context.out.line(format_args!("{name}: {there}"))?;
        }
    }
    if answers.values().all(|&there| there) { Ok(()) } else { Err(Stop::Reported(code::NO)) }
}
