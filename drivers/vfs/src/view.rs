//! Read-only sights of layers.

use std::sync::Arc;

use storage_core::driver::{Homes, LayerRef, PinnedDir, View};
use storage_core::error::Result;
use storage_core::mount::{Features, read_only_clone};

use crate::home::Home;

/// A read-only sight of the layer's tree.
pub(crate) fn view(homes: &Homes<Home>, layer: &LayerRef, features: Features) -> Result<View> {
    let home = homes.of(layer.home)?;
    let pin = Arc::new(PinnedDir::open_in(layer.home, home.root(), home.layer(&layer.id))?);
    let root = read_only_clone(pin.path(), Some(pin.id()), features)?;
    Ok(View::new(root, vec![Box::new(pin)]))
}
