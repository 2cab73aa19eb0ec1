//! How a store is opened.

use std::path::PathBuf;

use super::AutoIds;
use crate::lockfile::Wait;

/// What survives a loss of power. Whatever is chosen, everything survives the death of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Records are flushed, the content of layers isn't: after power loss a layer may be there with files missing or empty.
    /// This is what the reference does.
    None,
    /// A layer's content is flushed before its record is: a layer that is there after power loss is whole.
    #[default]
    Layer,
    /// As [`Durability::Layer`]; besides, every change of records is on disk when the call returns, its name included.
    Strict,
}

/// Whether a container that may lose what is written in it is mounted so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VolatileMounts {
    /// It is: nothing is flushed when it is unmounted.
    #[default]
    Allowed,
    /// Every mount flushes, whatever a record or a caller says (`disable-volatile`).
    Disabled,
}

/// Where a store is and how it is to be used.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The directory of everything that lasts.
    pub graph_root: PathBuf,
    /// The directory of what is gone after a reboot.
    pub run_root: PathBuf,
    /// A separate place for images and their layers; it must differ from the graph root.
    pub image_store: Option<PathBuf>,
    /// Whether the records of containers and of their layers live in the run root, to be gone after a reboot.
    pub transient: bool,
    /// Graph roots whose images and layers can be used and not changed, in the order in which they are asked.
    pub additional_stores: Vec<PathBuf>,
    /// The driver by name; `None` leaves the choice to the registry.
    pub driver: Option<String>,
    /// Drivers to try in this order on a root that has none yet, when none is named; one that isn't known is passed over.
    pub driver_priority: Vec<String>,
    /// Options for drivers, `[driver.]key=value`.
    pub driver_options: Vec<String>,
    /// Where ids for containers come from that ask for some of their own.
    pub auto_ids: AutoIds,
    /// What survives a loss of power.
    pub durability: Durability,
    /// Whether volatile containers are mounted so.
    pub volatile: VolatileMounts,
    /// How long to wait for locks.
    pub wait: Wait,
}
