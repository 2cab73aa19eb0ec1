//! `layer-parent-owners` and `container-parent-owners`.

use serde::Serialize;
use storage_core::Result;
use storage_core::idmap::ParentOwners;

use crate::app::Context;
use crate::engine::{self, ItemKind, Store};
use crate::output::complain;
use crate::stop::{Outcome, Stop};

pub(crate) const HELP: &str = "\
Lists the users and groups that own directories above the mount of each, as far as its id maps can't express them. What has
no maps expresses all. What has some must be mounted.";

/// The JSON form is the reference's: no ids are `null`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "UIDs")]
    uids: Option<&'a [u32]>,
    #[serde(rename = "GIDs")]
    gids: Option<&'a [u32]>,
}

pub(crate) fn of_layers(context: &mut Context) -> Outcome {
    each(context, ItemKind::Layer, Store::layer_parent_owners)
}

pub(crate) fn of_containers(context: &mut Context) -> Outcome {
    each(context, ItemKind::Container, Store::container_parent_owners)
}

fn each(context: &mut Context, kind: ItemKind, find: fn(&Store, &str) -> Result<ParentOwners>) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let mut failure = None;
    for name in context.args.clone() {
        let found = store.sight().and_then(|sight| {
            let (_, item) = sight.item_of(kind, &name, "find parent owners")?;
            Ok((item.id().to_owned(), find(&store, item.id())?))
        });
        match found {
            Ok((id, owners)) => show(context, kind, &id, &owners)?,
            Err(error) => {
                complain(format_args!("{error} (asked for {name})"));
                failure.get_or_insert(error.kind().code());
            }
        }
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}

fn show(context: &mut Context, kind: ItemKind, id: &str, owners: &ParentOwners) -> Outcome {
    if context.json() {
        return context.out.json(&Answer { id, uids: listed(&owners.uids), gids: listed(&owners.gids) });
    }
    context.out.line(format_args!("ID: {id}"))?;
    for (what, ids) in [("UIDs", &owners.uids), ("GIDs", &owners.gids)] {
        // The reference shows empty lists of containers, not of layers.
        if kind == ItemKind::Container || !ids.is_empty() {
            let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
            context.out.line(format_args!("{what}: [{}]", ids.join(" ")))?;
        }
    }
    Ok(())
}

fn listed(ids: &[u32]) -> Option<&[u32]> {
    (!ids.is_empty()).then_some(ids)
}
