//! `layers` and `storage-layers`.

use std::collections::HashMap;

use storage_core::store::Sight;

use super::tree::{self, Node};
use crate::app::Context;
use crate::engine::{self, Layer};
use crate::flags::Flag;
use crate::stop::Outcome;

pub(crate) const FLAGS: &[Flag] =
    &[Flag::switch(&["--tree", "-t"], "Use a tree"), Flag::switch(&["--quick", "-q"], "Just the IDs"), super::JSON];

pub(crate) fn layers(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let sight = engine::sight(&store)?;
    let layers: Vec<&Layer> = sight.layers.iter().flat_map(|table| table.iter()).map(|layer| &**layer).collect();
    if context.json() {
        // The reference encodes a list that was never made: `null` when there is no layer.
        return context.out.json(&(!layers.is_empty()).then_some(layers));
    }
    if context.flags.on("--quick") {
        return layers.iter().try_for_each(|layer| context.out.line(&layer.id));
    }
    let users = Users::of(&sight);
    if context.flags.on("--tree") {
        let mounted = store.mounted_layers()?;
        let nodes: Vec<Node> = layers
            .iter()
            .map(|layer| {
                let mut notes: Vec<String> = layer.names.iter().map(|name| format!("name: {name}")).collect();
                let mounts = mounted.iter().filter(|(id, _, _)| *id == layer.id);
                notes.extend(mounts.map(|(_, path, _)| format!("mount: {}", path.display())));
                notes.extend(users.lines(layer, "", |what| format!("{what} name: ")));
                let parent = if layer.parent.is_empty() { "(base)".into() } else { layer.parent.clone() };
                Node { parent, id: layer.id.clone(), notes }
            })
            .collect();
        return context.out.text(tree::draw(&nodes));
    }
    for layer in layers {
        context.out.line(&layer.id)?;
        layer.names.iter().try_for_each(|name| context.out.line(format_args!("\tname: {name}")))?;
        users
            .lines(layer, "\t", |_| "\t\tname: ".to_owned())
            .into_iter()
            .try_for_each(|line| context.out.line(line))?;
    }
    Ok(())
}

/// The images and containers on each layer, by the layer's id.
struct Users<'s> {
    by_layer: HashMap<&'s str, Vec<User<'s>>>,
}

/// An image or a container: which of the two, its id, its names.
type User<'s> = (&'static str, &'s str, &'s [String]);

impl<'s> Users<'s> {
    fn of(sight: &'s Sight) -> Self {
        let images = sight.images.iter().flat_map(|images| images.iter());
        let images = images.map(|image| (&image.layer, ("image", image.id.as_str(), image.names.as_slice())));
        let containers = sight.containers.iter();
        let containers = containers
            .map(|container| (&container.layer, ("container", container.id.as_str(), container.names.as_slice())));
        let mut by_layer: HashMap<&str, Vec<_>> = HashMap::new();
        for (layer, user) in images.chain(containers) {
            by_layer.entry(layer).or_default().push(user);
        }
        Users { by_layer }
    }

    /// A line for each image and container on `layer`, behind `before`, and one for each of their names, behind what
    /// `before_name` makes of the kind's word.
    fn lines(&self, layer: &Layer, before: &str, before_name: impl Fn(&str) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, id, names) in self.by_layer.get(layer.id.as_str()).into_iter().flatten() {
            lines.push(format!("{before}{what}: {id}"));
            lines.extend(names.iter().map(|name| format!("{}{name}", before_name(what))));
        }
        lines
    }
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
