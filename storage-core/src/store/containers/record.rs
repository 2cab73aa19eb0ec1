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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::json;

    /// Left by buildah and by podman.
    const RECORDS: [&str; 2] = [
        concat!(
            r#"{"id":"e41aa3eddc2793e1af652d6e578ff5755a289d824e24f70542b53c7024ceefa1","names":["w1"],"#,
            r#""image":"863371aa3d067cc6db45de867095c852469b052e6195d6bfd3a95865f12458d2","#,
            r#""layer":"405608949f06fd062254678f3f38d51d54fd45bfd919dc6ed20e07d71ec7f175","#,
            r#""created":"2026-11-22T05:07:56.453088504Z","flags":{"MountLabel":"","ProcessLabel":"","#,
            r#""Volatile":true}}"#
        ),
        concat!(
            r#"{"id":"435ae4e09e45518c866a41a913b34328d6eaa75908a4935f5be2a4571e73b06a","names":["c1"],"#,
            r#""image":"1c635d07649580f9a3eb956006d261417aeba0b86eb76520192984bff4048d9c","#,
            r#""layer":"6365a802400979b082e94077452dcc4dc99edfff10eb6f875a457592d6817ed6","#,
            r#""metadata":"{\"image-name\":\"localhost/app:v2\","#,
            r#"\"image-id\":\"1c635d07649580f9a3eb956006d261417aeba0b86eb76520192984bff4048d9c\","#,
            r#"\"name\":\"c1\",\"created-at\":1795324077}","created":"2026-11-22T05:07:57.347542832Z","#,
            r#""flags":{"MountLabel":"","ProcessLabel":""}}"#
        ),
    ];

    #[test]
    fn records_of_the_reference_come_back_byte_for_byte() {
        for text in RECORDS {
            let container: Container = serde_json::from_str(text).expect("a record");
            assert_eq!(json::to_string(&container).expect("JSON"), text);
        }
        let [volatile, other] = RECORDS.map(|text| serde_json::from_str::<Container>(text).expect("a record"));
        assert!(volatile.is_volatile() && !other.is_volatile());
        assert!(other.metadata.contains(r#""image-name":"localhost/app:v2""#));
        assert_eq!(other.alias(), Some(other.layer.as_str()));
    }

    #[test]
    fn maps_data_and_flags_have_their_places() {
        let text = concat!(
            r#"{"id":"c","names":["n"],"image":"","layer":"l","metadata":"m","big-data-names":["k"],"big-data-sizes":{"k":5},"#,
            r#""big-data-digests":{"k":"sha256:5"},"created":"2026-11-22T05:07:56.453088504Z","#,
            r#""uidmap":[{"container_id":0,"host_id":1000,"size":2}],"gidmap":[{"container_id":0,"host_id":7,"size":1}],"#,
            r#""flags":{"MountLabel":"a","MountOpts":["nodev","noexec"],"ProcessLabel":"b"},"later":null}"#
        );
        let container: Container = serde_json::from_str(text).expect("a record");
        assert_eq!(json::to_string(&container).expect("JSON"), text);
        assert_eq!((container.mount_label(), container.process_label()), ("a", "b"));
        assert_eq!(container.mount_options(), ["nodev", "noexec"]);
    }
}
