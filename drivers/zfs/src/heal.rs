//! A replacement that a kill left half-way is taken back.

use storage_core::error::Result;
use storage_core::ids::LayerId;

use crate::home::{Home, former_layer, is_ours};

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
    let former = listing.datasets.keys().find(|name| former_layer(name) == Some(id.as_str()));
    former.map_or(Ok(()), |former| home.datasets.rename(former, id.as_str()))
}
