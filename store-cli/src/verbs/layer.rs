//! `layer`.

use std::sync::Arc;

use super::examine;
use crate::app::Context;
use crate::engine::{self, Layer};
use crate::stop::Outcome;

pub(crate) fn layer(context: &mut Context) -> Outcome {
    let (store, _key) = engine::open(context)?;
    let sight = store.sight()?;
    let find = |name: &str| sight.layer(name, "look up layer").map(|(store, layer)| (store, Arc::clone(layer)));
    examine::each(context, find, show)
}

fn show(context: &mut Context, store: usize, layer: &Layer) -> Outcome {
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
    layer.names.iter().try_for_each(|name| out.line(format_args!("Name: {name}")))?;
    examine::read_only(context, store)
}
