//! `drivers`: the survey, without opening a store.

use std::fmt::Write as _;

use serde_json::{Value, json};
use storage_core::Result;
use storage_core::driver::{Candidate, Capability, Choice, Roots};

use crate::app::Context;
use crate::engine;
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
Asks every driver of this program whether it can work on the root, and changes nothing there. The last line says which
one a store on this root would get, and by which rule.";

pub(crate) fn drivers(context: &mut Context) -> Outcome {
    let registry = engine::registry()?;
    let globals = &context.globals;
    let roots = engine::roots(globals);
    let candidates = registry.survey(&roots, &globals.driver_options)?;
    let wanted = engine::wanted_driver(globals, &registry)?;
    let choice = registry.choose(&roots, wanted.as_deref(), &globals.driver_options);
    let (chosen, rule) = verdict(&choice, &candidates);
    if context.json() {
        let list: Vec<Value> = candidates.iter().map(as_json).collect();
        return context.out.json(&json!({
            "graphRoot": context.globals.graph_root,
            "drivers": list,
            "chosen": chosen,
            "reason": rule,
        }));
    }
    context.out.text(table(&candidates))?;
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
        let can = capabilities(each);
        if each.survey.usable && !can.is_empty() {
            let _ = writeln!(text, "{:width$}  can         {}", "", can.join(", "));
        }
    }
    text
}

/// One driver as JSON.
pub(crate) fn as_json(each: &Candidate) -> Value {
    json!({
        "name": each.descriptor.name,
        "version": each.descriptor.version,
        "priority": each.descriptor.priority,
        "automatic": each.descriptor.automatic,
        "usable": each.survey.usable,
        "reason": each.survey.reason,
        "prior": each.prior,
        "capabilities": capabilities(each),
    })
}

fn capabilities(each: &Candidate) -> Vec<&'static str> {
    let has = |capability: &&Capability| each.survey.capabilities.has(**capability);
    Capability::ALL.iter().filter(has).map(|capability| capability.name()).collect()
}
