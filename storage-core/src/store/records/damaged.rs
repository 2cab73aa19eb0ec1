//! Records that can't be understood.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::record::Location;

/// The fields in which a record refers to layers, images and its parent.
const REFERENCES: [&str; 4] = ["layer", "mapped-layers", "image", "parent"];

/// A record that can't be understood. It is kept as it is, and hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file that it stands in.
    pub location: Location,
    /// Its bytes.
    pub raw: Arc<str>,
    /// What is wrong with it.
    pub why: String,
}

impl Damaged {
    /// The identifier that it names, if that much can be read.
    pub fn id(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(&self.raw).ok()?;
        value.get("id")?.as_str().map(str::to_owned)
    }

    /// What it refers to; none when that can't be told, and it may refer to anything.
    pub(crate) fn references(&self) -> Option<HashSet<String>> {
        let value: Value = serde_json::from_str(&self.raw).ok()?;
        let fields = value.as_object()?;
        let mut found = HashSet::new();
        for value in REFERENCES.iter().filter_map(|field| fields.get(*field)) {
            match value {
                Value::Null => {}
                Value::Array(several) => {
                    for one in several {
                        found.insert(one.as_str()?.to_owned());
                    }
                }
                one => _ = found.insert(one.as_str()?.to_owned()),
            }
        }
        found.remove("");
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_refers_to_is_told_or_unknown() {
        let references = |raw: &str| {
            let damaged = Damaged { location: Location::Stable, raw: raw.into(), why: String::new() };
            damaged.references().map(|found| {
                let mut found: Vec<_> = found.into_iter().collect();
                found.sort();
                found.join(" ")
            })
        };
        let whole = r#"{"names":3,"layer":"a","mapped-layers":["b","c"],"image":"d","parent":"e","other":"f"}"#;
        assert_eq!(references(whole).as_deref(), Some("a b c d e"));
        assert_eq!(references(r#"{"id":7,"layer":"","mapped-layers":null}"#).as_deref(), Some(""));
        for unknown in ["7", "[]", "null", r#"{"layer":7}"#, r#"{"mapped-layers":["a",1]}"#] {
            assert_eq!(references(unknown), None, "{unknown}");
        }
    }
}
