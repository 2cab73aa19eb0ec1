//! `layers` and `storage-layers`.

use super::tree::{self, Node};
use crate::app::Context;
use crate::engine::{self, Layer};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const FLAGS: &[Flag] =
    &[Flag::switch(&["--tree", "-t"], "Use a tree"), Flag::switch(&["--quick", "-q"], "Just the IDs"), super::JSON];

pub(crate) fn layers(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let table = store.layers()?;
    if context.json() {
        let records: Vec<&Layer> = table.iter().map(|layer| &**layer).collect();
        // The reference encodes a list that was never made: `null` when there is no layer.
        return context.out.json(&(!records.is_empty()).then_some(records));
    }
    if context.flags.on("--tree") {
        let mut nodes = Vec::new();
        let mounted = store.mounted_layers()?;
        for layer in table.iter() {
            let mut notes: Vec<String> = layer.names.iter().map(|name| format!("name: {name}")).collect();
            let mounts = mounted.iter().filter(|(id, _, _)| *id == layer.id);
            notes.extend(mounts.map(|(_, path, _)| format!("mount: {}", path.display())));
            let parent = if layer.parent.is_empty() { "(base)".into() } else { layer.parent.clone() };
            nodes.push(Node { parent, id: layer.id.clone(), notes });
        }
        return context.out.text(tree::draw(&nodes));
    }
    for layer in table.iter() {
        context.out.line(&layer.id)?;
        if !context.flags.on("--quick") {
            layer.names.iter().try_for_each(|name| context.out.line(format_args!("\tname: {name}")))?;
        }
    }
    Ok(())
}

pub(crate) fn storage_layers(context: &mut Context) -> Outcome {
    let (store, mut key) = engine::open(context)?;
    let mut places = store.driver_layers(&mut key)?;
    places.sort();
    if context.json() {
        return context.out.json(&places);
    }
    places.iter().try_for_each(|place| context.out.line(place))
}
