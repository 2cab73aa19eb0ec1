//! The fields of a record and their names in JSON, said once for reading and for writing.

use std::collections::BTreeMap;

use serde::de::{Deserialize, MapAccess};
use serde_json::{Map, Value};

/// Whether the reference leaves a field out.
pub(crate) trait Omit {
    fn is_omitted(&self) -> bool;
}

macro_rules! omit_when_empty {
    ($($type:ty $(where $parameter:ident)?),*) => {
        $(impl$(<$parameter>)? Omit for $type {
            fn is_omitted(&self) -> bool {
                self.is_empty()
            }
        })*
    };
}

omit_when_empty!(String, Vec<T> where T, BTreeMap<String, T> where T, Map<String, Value>);

impl Omit for i64 {
    fn is_omitted(&self) -> bool {
        *self == 0
    }
}

/// A value, or its default where the file says `null`.
pub(crate) fn value<'de, A: MapAccess<'de>, V: Deserialize<'de> + Default>(
    map: &mut A,
) -> std::result::Result<V, A::Error> {
    Ok(map.next_value::<Option<V>>()?.unwrap_or_default())
}

/// Implements `Serialize` and `Deserialize` for a record by the table of its fields, in the reference's order.
///
/// A field is left out when it is empty, unless it is marked: `[always]`; `[time]`, which stands for the zero time when
/// it is empty; `[sorted]`, a map of any values whose keys are written in order. What has no line in the table goes to
/// `extra` and comes back at the end.
macro_rules! json_fields {
    ($record:ident, $what:literal, { $($key:literal => $field:ident $([$rule:ident])?),* $(,)? }) => {
        impl serde::Serialize for $record {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $($crate::store::records::json_fields!(@write map, $key, self.$field $(, $rule)?);)*
                for (name, value) in &self.extra {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $record {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                struct RecordVisitor;

                impl<'de> serde::de::Visitor<'de> for RecordVisitor {
                    type Value = $record;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> std::result::Result<$record, A::Error> {
                        let mut record = $record::default();
                        while let Some(name) = map.next_key::<String>()? {
                            match name.as_str() {
                                $($key => record.$field = $crate::store::records::fields::value(&mut map)?,)*
                                _ => record.extra.push((name, map.next_value()?)),
                            }
                        }
                        Ok(record)
                    }
                }

                deserializer.deserialize_map(RecordVisitor)
            }
        }
    };
    (@write $map:ident, $key:literal, $value:expr) => {
        if !$crate::store::records::fields::Omit::is_omitted(&$value) {
            $map.serialize_entry($key, &$value)?;
        }
    };
    (@write $map:ident, $key:literal, $value:expr, always) => {
        $map.serialize_entry($key, &$value)?
    };
    (@write $map:ident, $key:literal, $value:expr, time) => {
        $map.serialize_entry($key, if $value.is_empty() { $crate::store::records::json::ZERO_TIME } else { &$value })?
    };
    (@write $map:ident, $key:literal, $value:expr, sorted) => {
        if !$value.is_empty() {
            $map.serialize_entry($key, &$crate::store::records::json::sorted(&serde_json::Value::Object($value.clone())))?;
        }
    };
}

/// The accessors of [`super::Record`] for a type whose fields have the usual names.
macro_rules! record_accessors {
    () => {
        fn id(&self) -> &str {
            &self.id
        }

        fn names(&self) -> &[String] {
            &self.names
        }

        fn names_mut(&mut self) -> &mut Vec<String> {
            &mut self.names
        }

        fn data_names(&self) -> &[String] {
            &self.big_data_names
        }

        fn metadata_mut(&mut self) -> &mut String {
            &mut self.metadata
        }

        fn metadata(&self) -> &str {
            &self.metadata
        }

        fn location(&self) -> $crate::store::records::Location {
            self.location
        }

        fn set_location(&mut self, location: $crate::store::records::Location) {
            self.location = location;
        }

        fn raw(&self) -> Option<&std::sync::Arc<str>> {
            self.raw.as_ref()
        }

        fn set_raw(&mut self, raw: Option<std::sync::Arc<str>>) {
            self.raw = raw;
        }
    };
}

pub(crate) use {json_fields, record_accessors};
