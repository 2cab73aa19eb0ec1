//! One layer's record, as `layers.json` and `volatile-layers.json` hold it.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json;
use crate::archive::Compression;
use crate::error::Result;
use crate::ids::LayerId;

/// Which file a record stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// `layers.json`.
    #[default]
    Stable = 0,
    /// `volatile-layers.json`: lost with the machine's power.
    Volatile = 1,
}

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
    /// Whether the layer is half-made or half-deleted.
    pub fn is_incomplete(&self) -> bool {
        self.flags.get(INCOMPLETE).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The checked identifier.
    pub fn layer_id(&self) -> Result<LayerId> {
        LayerId::from_store(&self.id)
    }

    /// How the archive was compressed, where this version knows the number.
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_code(self.compression)
    }

    /// The record as the reference would write it.
    pub fn to_json(&self) -> Result<String> {
        match &self.raw {
            Some(raw) => Ok(raw.to_string()),
            None => json::to_string(self),
        }
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

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        entry(&mut map, "names", &self.names, self.names.is_empty())?;
        entry(&mut map, "parent", &self.parent, self.parent.is_empty())?;
        entry(&mut map, "metadata", &self.metadata, self.metadata.is_empty())?;
        entry(&mut map, "mountlabel", &self.mount_label, self.mount_label.is_empty())?;
        map.serialize_entry("created", if self.created.is_empty() { "0001-01-01T00:00:00Z" } else { &self.created })?;
        entry(&mut map, "compressed-diff-digest", &self.compressed_digest, self.compressed_digest.is_empty())?;
        entry(&mut map, "compressed-size", &self.compressed_size, self.compressed_size == 0)?;
        entry(&mut map, "diff-digest", &self.diff_digest, self.diff_digest.is_empty())?;
        entry(&mut map, "toc-digest", &self.toc_digest, self.toc_digest.is_empty())?;
        entry(&mut map, "diff-size", &self.diff_size, self.diff_size == 0)?;
        entry(&mut map, "compression", &self.compression, self.compression == 0)?;
        entry(&mut map, "uidset", &self.uids, self.uids.is_empty())?;
        entry(&mut map, "gidset", &self.gids, self.gids.is_empty())?;
        let flags = json::sorted(&Value::Object(self.flags.clone()));
        entry(&mut map, "flags", &flags, self.flags.is_empty())?;
        entry(&mut map, "uidmap", &self.uid_map, self.uid_map.is_empty())?;
        entry(&mut map, "gidmap", &self.gid_map, self.gid_map.is_empty())?;
        entry(&mut map, "big-data-names", &self.big_data_names, self.big_data_names.is_empty())?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn entry<M: SerializeMap, V: Serialize + ?Sized>(
    map: &mut M,
    name: &'static str,
    value: &V,
    empty: bool,
) -> std::result::Result<(), M::Error> {
    if empty { Ok(()) } else { map.serialize_entry(name, value) }
}

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Layer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layer's record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Layer, A::Error> {
        let mut layer = Layer::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "id" => layer.id = value(&mut map)?,
                "names" => layer.names = value(&mut map)?,
                "parent" => layer.parent = value(&mut map)?,
                "metadata" => layer.metadata = value(&mut map)?,
                "mountlabel" => layer.mount_label = value(&mut map)?,
                "created" => layer.created = value(&mut map)?,
                "compressed-diff-digest" => layer.compressed_digest = value(&mut map)?,
                "compressed-size" => layer.compressed_size = value(&mut map)?,
                "diff-digest" => layer.diff_digest = value(&mut map)?,
                "toc-digest" => layer.toc_digest = value(&mut map)?,
                "diff-size" => layer.diff_size = value(&mut map)?,
                "compression" => layer.compression = value(&mut map)?,
                "uidset" => layer.uids = value(&mut map)?,
                "gidset" => layer.gids = value(&mut map)?,
                "flags" => layer.flags = value(&mut map)?,
                "uidmap" => layer.uid_map = value(&mut map)?,
                "gidmap" => layer.gid_map = value(&mut map)?,
                "big-data-names" => layer.big_data_names = value(&mut map)?,
                _ => layer.extra.push((name, map.next_value()?)),
            }
        }
        Ok(layer)
    }
}

/// A value, or its default where the file says `null`.
fn value<'de, A: MapAccess<'de>, V: Deserialize<'de> + Default>(map: &mut A) -> std::result::Result<V, A::Error> {
    Ok(map.next_value::<Option<V>>()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

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
