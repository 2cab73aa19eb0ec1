//! A replacement that a kill left half-way is taken back.

use storage_core::error::Result;
use storage_core::ids::LayerId;

use crate::home::{Home, Owner, former_layer, is_ours};

/// Gives a layer without a dataset the one back that it had before its replacement began. The caller holds the layers, so
/// nobody is in the middle of a replacement now.
///
/// A replacement is two renames: the former content goes, the new one comes. Whoever died between them left the layer
/// without any.
pub(crate) fn heal(home: &Home, id: &LayerId) -> Result<()> {
    let listing = home.datasets.listing()?;
    if is_ours(id.as_str()) || listing.datasets.contains_key(id.as_str()) {
        return Ok(());
    }
    let mut formers = Vec::new();
    for (name, dataset) in &listing.datasets {
        if former_layer(name) == Some(id.as_str()) && home.owner(dataset.owner.as_deref())? == Owner::Ours {
            formers.push((dataset.made_in, name));
        }
    }
    // One that was replaced before may still be there, because somebody reads it.
    let Some((_, former)) = formers.into_iter().max() else { return Ok(()) };
    home.datasets.rename(former, id.as_str())
}
