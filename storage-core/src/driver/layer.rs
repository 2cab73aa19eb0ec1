//! What the store tells a driver about a layer: plain values, so that they can cross the border to plugins.

use crate::ids::LayerId;

/// A layer and those below it, as the records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRef {
    /// The layer itself.
    pub id: LayerId,
    /// The layers below it, the nearest parent first.
    pub ancestors: Vec<LayerId>,
}

impl LayerRef {
    /// The layer's parent, where it has one.
    pub fn parent(&self) -> Option<&LayerId> {
        self.ancestors.first()
    }

    /// The layer's parent with what is below it.
    pub fn parent_ref(&self) -> Option<LayerRef> {
        let (id, ancestors) = self.ancestors.split_first()?;
        Some(LayerRef { id: id.clone(), ancestors: ancestors.to_vec() })
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
    /// Whether it will be mounted for writing (quotas apply to those only).
    pub writable: bool,
    /// Options for the driver (`size=10G`); an unknown one is refused.
    pub options: Vec<(String, String)>,
    /// The `SELinux` label of its mounts; empty for none.
    pub mount_label: String,
}

impl Plan {
    /// A plan without options or label.
    pub fn new(start: Start) -> Self {
        Plan { start, writable: true, options: Vec::new(), mount_label: String::new() }
    }
}

/// How a layer is to be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Options of the mount (`nodev`); when empty, the configured ones serve.
    pub options: Vec<String>,
    /// Nobody may write through this mount.
    pub read_only: bool,
    /// What is written may be lost when the machine stops.
    pub volatile: bool,
    /// The `SELinux` label; empty for none.
    pub label: String,
}
