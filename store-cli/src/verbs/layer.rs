//! `layer`.

use crate::app::Context;
use crate::engine::{self, Layer};
use crate::output::complain;
use crate::stop::{Outcome, Stop};

pub(crate) fn layer(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let mut found = Vec::new();
    let mut failure = None;
    for name in &context.args {
        match store.lookup(name) {
            Ok(layer) => found.push(layer),
            Err(error) => {
                complain(&error);
                failure.get_or_insert(error.kind().code());
            }
        }
    }
    if context.json() {
        context.out.json(&found.iter().map(|layer| &**layer).collect::<Vec<&Layer>>())?;
    } else {
        found.iter().try_for_each(|layer| show(context, layer))?;
    }
    failure.map_or(Ok(()), |code| Err(Stop::Reported(code)))
}

fn show(context: &mut Context, layer: &Layer) -> Outcome {
    let out = &mut context.out;
    out.line(format_args!("ID: {}", layer.id))?;
    for (what, maps) in [("UID", &layer.uid_map), ("GID", &layer.gid_map)] {
        for map in maps {
            let (inside, outside, size) = (map.container_id, map.host_id, map.size);
            out.line(format_args!("{what} mapping: (container={inside}, host={outside}, size={size})"))?;
        }
    }
    if !layer.parent.is_empty() {
        out.line(format_args!("Parent: {}", layer.parent))?;
    }
    layer.names.iter().try_for_each(|name| out.line(format_args!("Name: {name}")))
}
