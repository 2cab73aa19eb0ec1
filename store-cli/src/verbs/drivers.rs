//! `drivers`: the survey, without opening a store.

use std::fmt::Write as _;

use serde_json::json;
use storage_core::Result;
use storage_core::driver::plugin::Refused;
use storage_core::driver::{Candidate, Choice, Origin, Registry};

use crate::app::Context;
use crate::engine;
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
Asks every driver of this program, linked in or loaded, whether it can work on the root, and changes nothing there. Then
come the plugins that were refused, with the reason. The last line says which driver a store on this root would get, and by
which rule. Plugins are looked for in the directories of $LAMINA_PLUGIN_PATH, in those of `plugin_directories` below [lamina]
in storage.conf, and in /usr/lib/lamina/drivers.";

pub(crate) fn drivers(context: &mut Context) -> Outcome {
    let registry = engine::tolerant_registry(&context.globals)?;
    let globals = &context.globals;
    let roots = engine::roots(globals);
    let candidates = registry.survey(&roots, &globals.driver_options)?;
    let wanted = engine::wanted_driver(globals, &registry)?;
    let choice = registry.choose(&roots, wanted.as_deref(), &globals.driver_options);
    let (chosen, rule) = verdict(&choice, &candidates);
    if context.json() {
        return context.out.json(&json!({
            "graphRoot": context.globals.graph_root,
            "drivers": candidates.iter().map(Candidate::to_json).collect::<Vec<_>>(),
            "refused": registry.refused().iter().map(Refused::to_json).collect::<Vec<_>>(),
            "chosen": chosen,
            "reason": rule,
        }));
    }
    context.out.text(table(&candidates))?;
    context.out.text(refusals(&registry))?;
    context.out.line("")?;
    context.out.line(match chosen {
        Some(name) => format!("A store on {} gets {name}: {rule}.", context.globals.graph_root.display()),
        None => format!("A store on {} gets no driver: {rule}", context.globals.graph_root.display()),
    })
}

/// The name of the chosen driver, and the rule in words; without one, why.
pub(crate) fn verdict(choice: &Result<Choice>, candidates: &[Candidate]) -> (Option<&'static str>, String) {
    let error = match choice {
        Ok(choice) => return (Some(choice.descriptor.name), choice.reason.clone()),
        Err(error) => error,
    };
    let by_itself = |each: &Candidate| each.prior || (each.survey.usable && each.descriptor.automatic);
    let usable: Vec<&str> =
        candidates.iter().filter(|each| each.survey.usable).map(|each| each.descriptor.name).collect();
    if usable.is_empty() || candidates.iter().any(by_itself) {
        return (None, error.to_string());
    }
    let names = usable.join(" or ");
    (None, format!("none that is chosen by itself works here; name {names} with --storage-driver"))
}

/// One block a driver: its verdict and reason, then what it can do here.
pub(crate) fn table(candidates: &[Candidate]) -> String {
    let width = candidates.iter().map(|each| each.descriptor.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for each in candidates {
        let verdict = if each.survey.usable { "works here  " } else { "not usable  " };
        let prior = if each.prior { " (its layers are on this root)" } else { "" };
        let _ = writeln!(text, "{:width$}  {verdict}{}{prior}", each.descriptor.name, each.survey.reason);
        if let Origin::Loaded(file) = each.descriptor.origin {
            let version = each.descriptor.version;
            let _ = writeln!(text, "{:width$}  loaded      version {version} from {}", "", file.display());
        }
        let can = each.abilities();
        if each.survey.usable && !can.is_empty() {
            let _ = writeln!(text, "{:width$}  can         {}", "", can.join(", "));
        }
    }
    text
}

/// The plugins that were not taken, a line each.
fn refusals(registry: &Registry) -> String {
    registry.refused().iter().flat_map(|each| ["refused: ", &each.reason, "\n"]).collect()
}
