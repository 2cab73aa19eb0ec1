//! One layer's record, as `layers.json` and `volatile-layers.json` hold it.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::archive::Compression;
use crate::driver::Home;
use crate::error::{Kind, Result};
use crate::idmap::Maps;
use crate::ids::LayerId;
use crate::store::records::{Location, NameScope, Record, json_fields, record_accessors};

pub use crate::idmap::IdMap;

/// A layer's record. The fields and their names in JSON are the reference's; fields of other versions survive in
/// [`Layer::extra`].
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// The identifier.
    pub id: String,
    /// Names, unique in the store.
    pub names: Vec<String>,
    /// The identifier of the parent; empty for a base layer.
    pub parent: String,
    /// Text that belongs to the user.
    pub metadata: String,
    /// The `SELinux` label of mounts.
    pub mount_label: String,
    /// When it was made, as RFC 3339 with nanoseconds.
    pub created: String,
    /// The digest of the archive as it was received (`sha256:…`).
    pub compressed_digest: String,
    /// The size of the archive as it was received, in bytes.
    pub compressed_size: i64,
    /// The digest of the uncompressed archive (`sha256:…`).
    pub diff_digest: String,
    /// The digest of a table of contents, in layers that were pulled in parts.
    pub toc_digest: String,
    /// The size of the uncompressed archive, in bytes; meaningful with a digest only, -1 when unknown.
    pub diff_size: i64,
    /// How the archive was compressed, as the reference numbers it.
    pub compression: i64,
    /// The user ids in the archive, sorted.
    pub uids: Vec<u32>,
    /// The group ids in the archive, sorted.
    pub gids: Vec<u32>,
    /// Flags; `incomplete` marks a layer that the next writer deletes.
    pub flags: Map<String, Value>,
    /// The map with which the user ids are stored.
    pub uid_map: Vec<IdMap>,
    /// The map with which the group ids are stored.
    pub gid_map: Vec<IdMap>,
    /// The names of big data.
    pub big_data_names: Vec<String>,
    /// Fields that this version doesn't know, in their order.
    pub extra: Vec<(String, Box<RawValue>)>,
    /// Which file the record stands in.
    pub location: Location,
    /// The bytes of the record, if it has not changed since it was read or written.
    pub(crate) raw: Option<Arc<str>>,
}

/// The flag of a layer that is to be deleted.
const INCOMPLETE: &str = "incomplete";

impl Layer {
    /// Which home of the driver the layer of a store's own record stands in.
    pub(crate) fn home(&self) -> Home {
        match self.location {
            Location::ImageStore => Home::ImageStore,
            Location::Stable | Location::Volatile => Home::Own,
        }
    }

    /// The maps with which the owners of its files are kept.
    pub fn maps(&self) -> Maps {
        Maps { uids: self.uid_map.clone(), gids: self.gid_map.clone() }
    }

    /// The checked identifier.
    pub fn layer_id(&self) -> Result<LayerId> {
        LayerId::from_store(&self.id)
    }

    /// How the archive was compressed, where this version knows the number.
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_code(self.compression)
    }

    /// Whether two records say the same of the layer's content: its identity, its parent, its maps, its digests.
    pub fn same_content(&self, other: &Layer) -> bool {
        self.id == other.id
            && self.parent == other.parent
            && self.created == other.created
            && self.diff_digest == other.diff_digest
            && self.toc_digest == other.toc_digest
            && self.uid_map == other.uid_map
            && self.gid_map == other.gid_map
            && !other.is_incomplete()
    }
}

impl Record for Layer {
    const ONE: &'static str = "layer";
    const MANY: &'static str = "layers";
    const LOADING: &'static str = "load layers";
    const UNKNOWN: Kind = Kind::LayerUnknown;
    const NAME_SCOPE: NameScope = NameScope::Level;

    record_accessors!();

    fn is_incomplete(&self) -> bool {
        self.flags.get(INCOMPLETE).and_then(Value::as_bool).unwrap_or(false)
    }
}

json_fields!(Layer, "a layer's record", {
    "id" => id [always],
    "names" => names,
    "parent" => parent,
    "metadata" => metadata,
    "mountlabel" => mount_label,
    "created" => created [time],
    "compressed-diff-digest" => compressed_digest,
    "compressed-size" => compressed_size,
    "diff-digest" => diff_digest,
    "toc-digest" => toc_digest,
    "diff-size" => diff_size,
    "compression" => compression,
    "uidset" => uids,
    "gidset" => gids,
    "flags" => flags [sorted],
    "uidmap" => uid_map,
    "gidmap" => gid_map,
    "big-data-names" => big_data_names,
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::json;

    #[test]
    fn a_record_of_the_reference_comes_back_byte_for_byte() {
        let text = concat!(
            r#"{"id":"f13d","names":["second"],"parent":"fa1d","created":"2026-11-22T05:10:33.648838034Z","#,
            r#""compressed-diff-digest":"sha256:b7","compressed-size":10240,"diff-digest":"sha256:b7","diff-size":10240,"#,
            r#""compression":2,"uidset":[0,7],"gidset":[0],"flags":{"a":1,"b":{"c":2}},"#,
            r#""uidmap":[{"container_id":0,"host_id":1000,"size":1}],"big-data-names":["x"],"from-the-future":{"b":1,"a":[2]}}"#
        );
        let mut layer: Layer = serde_json::from_str(text).expect("a record");
        assert_eq!(json::to_string(&layer).expect("JSON"), text);
        layer.metadata = "<&>".into();
        let rewritten = json::to_string(&layer).expect("JSON");
        assert!(rewritten.contains(r#""metadata":"\u003c\u0026\u003e""#), "{rewritten}");
        assert!(rewritten.contains(r#""from-the-future":{"b":1,"a":[2]}"#), "an unknown field was lost: {rewritten}");
    }

    #[test]
    fn the_incomplete_flag_counts_only_when_it_is_true() {
        let layer =
            |flags: &str| serde_json::from_str::<Layer>(&format!(r#"{{"id":"a","flags":{flags}}}"#)).expect("JSON");
        assert!(layer(r#"{"incomplete":true}"#).is_incomplete());
        assert!(!layer(r#"{"incomplete":false}"#).is_incomplete());
        assert!(!layer("null").is_incomplete());
    }
}
