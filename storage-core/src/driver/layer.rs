//! What the store tells a driver about a layer: plain values, so that they can cross the border to plugins.

use crate::idmap::{Maps, Namespace, Shift};
use crate::ids::LayerId;

/// Which of a store's homes a layer stands in. The records say it; a driver doesn't search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Home {
    /// The store's own ([`super::Request::home`]).
    #[default]
    Own,
    /// That of the separate image store ([`super::Request::image_home`]).
    ImageStore,
    /// That of an additional store, by its number in [`super::Request::additional_homes`]. Nothing in it is written or
    /// locked, and what is read from it is checked.
    Additional(u16),
}

impl Home {
    /// Whether layers are made, changed and healed there.
    pub fn is_writable(self) -> bool {
        !matches!(self, Home::Additional(_))
    }
}

/// A layer below another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ancestor {
    /// The layer.
    pub id: LayerId,
    /// Where it stands.
    pub home: Home,
}

/// A layer and those below it, as the records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRef {
    /// The layer itself.
    pub id: LayerId,
    /// Where it stands.
    pub home: Home,
    /// The layers below it, the nearest parent first.
    pub ancestors: Vec<Ancestor>,
}

impl LayerRef {
    /// A layer of a store that has one home only.
    pub fn own(id: LayerId, ancestors: impl IntoIterator<Item = LayerId>) -> Self {
        let ancestors = ancestors.into_iter().map(|id| Ancestor { id, home: Home::Own }).collect();
        LayerRef { id, home: Home::Own, ancestors }
    }

    /// The layer's parent, where it has one.
    pub fn parent(&self) -> Option<&LayerId> {
        self.ancestors.first().map(|parent| &parent.id)
    }

    /// The layer's parent with what is below it.
    pub fn parent_ref(&self) -> Option<LayerRef> {
        let (parent, ancestors) = self.ancestors.split_first()?;
        Some(LayerRef { id: parent.id.clone(), home: parent.home, ancestors: ancestors.to_vec() })
    }
}

/// What a staged layer begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A new layer on `parent`, or an empty one.
    OnParent(Option<LayerRef>),
    /// The replacement of a layer: it starts with that layer's content, or with none when `empty`, and takes its place.
    Replacing {
        /// The layer that will be replaced.
        layer: LayerRef,
        /// The layer holds nothing of its own yet, so there is nothing to copy.
        empty: bool,
    },
}

/// What a new layer is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it begins with.
    pub start: Start,
    /// In which home it will stand; it is staged there, so that a rename puts it in place. A replacement stands where the
    /// layer does.
    pub home: Home,
    /// The maps with which the owners of its files are kept.
    pub maps: Maps,
    /// Those with which its parent's are. Where they differ, the layer begins with the parent's whole tree under new owners,
    /// at the cost of that tree, in [`super::Staged::fill`]. A replacement keeps the maps of the layer.
    pub parent_maps: Maps,
    /// Whether it will be mounted for writing (quotas apply to those only).
    pub writable: bool,
    /// Options for the driver (`size=10G`); an unknown one is refused.
    pub options: Vec<(String, String)>,
    /// The `SELinux` label of its mounts; empty for none.
    pub mount_label: String,
}

impl Plan {
    /// A plan without maps, options or label, for a layer in the store's own home or in that of the layer that it replaces.
    pub fn new(start: Start) -> Self {
        let home = match &start {
            Start::OnParent(_) => Home::Own,
            Start::Replacing { layer, .. } => layer.home,
        };
        Plan {
            start,
            home,
            maps: Maps::NONE,
            parent_maps: Maps::NONE,
            writable: true,
            options: Vec::new(),
            mount_label: String::new(),
        }
    }

    /// How owners change from what the layer starts with.
    pub fn shift(&self) -> Shift {
        match self.start {
            Start::OnParent(Some(_)) => Shift::new(self.parent_maps.clone(), self.maps.clone()),
            Start::OnParent(None) | Start::Replacing { .. } => Shift::new(self.maps.clone(), self.maps.clone()),
        }
    }
}

/// The maps with which the owners in two layers that are compared are kept.
#[derive(Clone, Debug, Default)]
pub struct OwnerMaps {
    /// Those of the layer.
    pub layer: Maps,
    /// Those of what it is compared with.
    pub base: Maps,
    /// Where what the layer stands on is kept without maps, as below a container that sees it mapped: what shows it under
    /// those of the layer.
    pub below_layer: Option<Namespace>,
    /// The same for what it is compared with.
    pub below_base: Option<Namespace>,
}

/// How a layer is to be mounted.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// Owners are shown to the container through the maps of this namespace, though they are kept without: needs
    /// [`super::Capability::IdMappedMounts`]. It is made before a lock is taken, because that starts a process (R6).
    pub namespace: Option<Namespace>,
    /// Options of the mount (`nodev`); when empty, the configured ones serve.
    pub options: Vec<String>,
    /// Nobody may write through this mount.
    pub read_only: bool,
    /// What is written may be lost when the machine stops.
    pub volatile: bool,
    /// The `SELinux` label; empty for none.
    pub label: String,
}
