//! One container's record, as `containers.json` and `volatile-containers.json` hold it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Kind;
use crate::idmap::Maps;
use crate::store::IdMap;
use crate::store::records::{Location, NameScope, Record, RecordTable, json_fields, record_accessors};

/// All containers of a store at one moment, in the order in which they were made.
pub type ContainerTable = RecordTable<Container>;

/// A container's record. The fields and their names in JSON are the reference's; fields of other versions survive in
/// [`Container::extra`].
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// The identifier.
    pub id: String,
    /// Names, unique in the store.
    pub names: Vec<String>,
    /// The image that it was made from; empty for none.
    pub image: String,
    /// Its own layer.
    pub layer: String,
    /// Text that belongs to the user.
    pub metadata: String,
    /// The keys of big data.
    pub big_data_names: Vec<String>,
    /// The sizes of big data, in bytes.
    pub big_data_sizes: BTreeMap<String, i64>,
    /// The digests of big data.
    pub big_data_digests: BTreeMap<String, String>,
    /// When it was made, as RFC 3339 with nanoseconds.
    pub created: String,
    /// The map of user ids with which it sees its layer.
    pub uid_map: Vec<IdMap>,
    /// The map of group ids with which it sees its layer.
    pub gid_map: Vec<IdMap>,
    /// Flags: labels, mount options, whether it is volatile.
    pub flags: Map<String, Value>,
    /// Fields that this version doesn't know, in their order.
    pub extra: Vec<(String, Box<RawValue>)>,
    /// Which file the record stands in.
    pub location: Location,
    /// The bytes of the record, if it has not changed since it was read or written.
    pub(crate) raw: Option<Arc<str>>,
}

/// The flag with the `SELinux` label of the container's processes.
pub(crate) const PROCESS_LABEL: &str = "ProcessLabel";
/// The flag with the `SELinux` label of the container's mounts.
pub(crate) const MOUNT_LABEL: &str = "MountLabel";
/// The flag with the options of the container's mount.
pub(crate) const MOUNT_OPTIONS: &str = "MountOpts";
/// The flag of a container whose layer may lose what was written when the machine stops.
pub(crate) const VOLATILE: &str = "Volatile";

impl Container {
    fn label(&self, flag: &str) -> &str {
        self.flags.get(flag).and_then(Value::as_str).unwrap_or_default()
    }

    /// The `SELinux` label of the container's processes; empty for none.
    pub fn process_label(&self) -> &str {
        self.label(PROCESS_LABEL)
    }

    /// The `SELinux` label of the container's mounts; empty for none.
    pub fn mount_label(&self) -> &str {
        self.label(MOUNT_LABEL)
    }

    /// The options with which the container's layer is mounted.
    pub fn mount_options(&self) -> Vec<String> {
        let options = self.flags.get(MOUNT_OPTIONS).and_then(Value::as_array);
        options.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The maps with which it sees its layer; none when it sees it as it is.
    pub fn maps(&self) -> Maps {
        Maps { uids: self.uid_map.clone(), gids: self.gid_map.clone() }
    }

    /// Whether what is written in the container may be lost when the machine stops.
    pub fn is_volatile(&self) -> bool {
        self.flags.get(VOLATILE).and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Record for Container {
    const ONE: &'static str = "container";
    const MANY: &'static str = "containers";
    const LOADING: &'static str = "load containers";
    const UNKNOWN: Kind = Kind::ContainerUnknown;
    const NAME_SCOPE: NameScope = NameScope::Level;

    record_accessors!();

    fn alias(&self) -> Option<&str> {
        Some(&self.layer).filter(|layer| !layer.is_empty()).map(String::as_str)
    }
}

json_fields!(Container, "a container's record", {
    "id" => id [always],
    "names" => names,
    "image" => image [always],
    "layer" => layer [always],
    "metadata" => metadata,
    "big-data-names" => big_data_names,
    "big-data-sizes" => big_data_sizes,
    "big-data-digests" => big_data_digests,
    "created" => created [time],
    "uidmap" => uid_map,
    "gidmap" => gid_map,
    "flags" => flags [sorted],
});
