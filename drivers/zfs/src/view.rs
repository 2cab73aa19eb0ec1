//! Read-only sights of layers.
//!
//! A view mounts the layer's dataset where no path names it. As long as it is open the dataset can't be destroyed: our own
//! trash waits, and a peer's delete says busy.

use nix::mount::MsFlags;
use storage_core::driver::{LayerRef, Pin, View};
use storage_core::error::{Error, Kind, Result};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, MountFlags};

use crate::home::Home;
use crate::mounting::detached;

/// A layer's dataset, which must stay the one that it was.
#[derive(Debug)]
pub(crate) struct PinnedDataset {
    home: Home,
    id: LayerId,
    guid: String,
}

impl PinnedDataset {
    /// Pins the dataset of a layer. Fails with [`Kind::NotFound`] when it has none.
    pub(crate) fn new(home: &Home, id: &LayerId) -> Result<Self> {
        Ok(PinnedDataset { guid: home.dataset(id)?.guid, home: home.clone(), id: id.clone() })
    }
}

impl Pin for PinnedDataset {
    fn check(&self) -> Result<()> {
        let now = match self.home.dataset(&self.id) {
            Err(error) if error.kind() == Kind::NotFound => None,
            found => Some(found?.guid),
        };
        if now.as_ref() == Some(&self.guid) {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "read layer")
            .at(self.home.datasets.path(self.id.as_str())?)
            .detail("it was removed or replaced while it was read"))
    }
}

/// A read-only sight of the layer's tree.
pub(crate) fn view(home: &Home, layer: &LayerRef, features: Features) -> Result<View> {
    let (pin, dataset) = (PinnedDataset::new(home, &layer.id)?, home.dataset(&layer.id)?);
    if dataset.shows_snapshots {
        let dataset = home.datasets.path(layer.id.as_str())?;
        return Err(Error::new(Kind::NotSupported, "read layer")
            .at(&dataset)
            .detail("snapdir=visible shows its snapshots as if they were content (.zfs)")
            .remedy(format!("zfs set snapdir=hidden {dataset}")));
    }
    let root = detached(&home.datasets.path(layer.id.as_str())?, &view_flags(), features)?;
    Ok(View::new(root, vec![Box::new(pin)]))
}

/// What every read-only sight of a layer obeys.
pub(crate) fn view_flags() -> MountFlags {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    MountFlags { flags, data: Vec::new() }
}
