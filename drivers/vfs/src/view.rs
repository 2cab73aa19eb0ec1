//! Read-only sights of layers.

use std::sync::Arc;

use storage_core::driver::{PinnedDir, View};
use storage_core::error::Result;
use storage_core::ids::LayerId;
use storage_core::mount::{Features, read_only_clone};

use crate::home::Home;

/// A read-only sight of the layer's tree.
pub(crate) fn view(home: &Home, id: &LayerId, features: Features) -> Result<View> {
    let pin = Arc::new(PinnedDir::open(home.layer(id))?);
    let root = read_only_clone(pin.path(), Some(pin.id()), features)?;
    Ok(View::new(root, vec![Box::new(pin)]))
}
