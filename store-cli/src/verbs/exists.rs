//! `exists`.

use std::collections::BTreeMap;

use crate::app::Context;
use crate::engine::{self, ItemKind};
use crate::flags::Flag;
use crate::stop::{Outcome, Stop, code};

pub(crate) const HELP: &str = "\
Exit code 0: all exist; 1: one doesn't; anything else: it could not be found out (the reference says \"false\" then).";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::switch(&["--quiet", "-q"], "Don't print names"),
    Flag::switch(&["--layer", "-l"], "Only succeed if the match is a layer"),
    Flag::switch(&["--image", "-i"], "Only succeed if the match is an image"),
    Flag::switch(&["--container", "-c"], "Only succeed if the match is a container"),
    super::JSON,
];

pub(crate) fn exists(context: &mut Context) -> Outcome {
    const KINDS: [(&str, ItemKind); 3] =
        [("--layer", ItemKind::Layer), ("--image", ItemKind::Image), ("--container", ItemKind::Container)];
    let (store, _key) = engine::open(context)?;
    let sight = store.sight()?;
    let asked: Vec<ItemKind> =
        KINDS.into_iter().filter(|(flag, _)| context.flags.on(flag)).map(|(_, kind)| kind).collect();
    let is_there = |name: &str| {
        let is = |kind: &ItemKind| sight.item_of(*kind, name, "look up").is_ok();
        if asked.is_empty() { sight.item(name, "look up").is_ok() } else { asked.iter().all(is) }
    };
    let answers: BTreeMap<&str, bool> = context.args.iter().map(|name| (name.as_str(), is_there(name))).collect();
    if context.flags.on("--json") {
        context.out.json(&answers)?;
    } else if !context.flags.on("--quiet") {
        for (name, there) in &answers {
            context.out.line(format_args!("{name}: {there}"))?;
        }
    }
    if answers.values().all(|&there| there) { Ok(()) } else { Err(Stop::Reported(code::NO)) }
}
