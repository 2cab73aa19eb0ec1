//! One image's record, as `images.json` holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Kind;
use crate::store::records::{Location, NameScope, Record, RecordTable, json_fields, record_accessors};

/// All images of a store at one moment, in the order in which they were made.
pub type ImageTable = RecordTable<Image>;

/// An image's record. The fields and their names in JSON are the reference's; fields of other versions survive in
/// [`Image::extra`].
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The identifier: by convention the hexadecimal digits of the digest of the configuration.
    pub id: String,
    /// The digest of the manifest that the image was made with.
    pub digest: String,
    /// Names, unique in the store.
    pub names: Vec<String>,
    /// Every name that it ever had, the newest first.
    pub names_history: Vec<String>,
    /// The top layer; empty for an image without layers.
    pub layer: String,
    /// Copies of the top layer with other owners.
    pub mapped_layers: Vec<String>,
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
    /// Flags.
    pub flags: Map<String, Value>,
    /// Fields that this version doesn't know, in their order.
    pub extra: Vec<(String, Box<RawValue>)>,
    /// Which file the record stands in.
    pub location: Location,
    /// The bytes of the record, if it has not changed since it was read or written.
    pub(crate) raw: Option<Arc<str>>,
}

/// Keys that begin so hold manifests.
pub(crate) const MANIFEST: &str = "manifest";

impl Image {
    /// The digests by which the image is found: its own, and those of its manifests.
    pub fn digests(&self) -> Vec<&str> {
        let manifests =
            self.big_data_digests.iter().filter(|(key, _)| key.starts_with(MANIFEST)).map(|(_, digest)| digest);
        let mut seen = BTreeSet::new();
        let all = std::iter::once(&self.digest).chain(manifests).filter(|digest| !digest.is_empty());
        all.map(String::as_str).filter(|digest| seen.insert(*digest)).collect()
    }

    /// The top layer and its copies with other owners.
    pub fn top_layers(&self) -> impl Iterator<Item = &str> {
        let top = std::iter::once(&self.layer).filter(|layer| !layer.is_empty());
        top.chain(&self.mapped_layers).map(String::as_str)
    }
}

impl Record for Image {
    const ONE: &'static str = "image";
    const MANY: &'static str = "images";
    const LOADING: &'static str = "load images";
    const UNKNOWN: Kind = Kind::ImageUnknown;
    const NAME_SCOPE: NameScope = NameScope::File;

    record_accessors!();

    fn called(&mut self, name: &str) {
        self.names_history.retain(|former| former != name);
        self.names_history.insert(0, name.to_owned());
    }
}

json_fields!(Image, "an image's record", {
    "id" => id [always],
    "digest" => digest,
    "names" => names,
    "names-history" => names_history,
    "layer" => layer,
    "mapped-layers" => mapped_layers,
    "metadata" => metadata,
    "big-data-names" => big_data_names,
    "big-data-sizes" => big_data_sizes,
    "big-data-digests" => big_data_digests,
    "created" => created [time],
    "flags" => flags [sorted],
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::json;

    #[test]
    fn a_record_that_buildah_left_comes_back_byte_for_byte() {
        let text = concat!(
            r#"{"id":"863371aa3d067cc6db45de867095c852469b052e6195d6bfd3a95865f12458d2","#,
            r#""digest":"sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c","#,
            r#""names":["localhost/base:v1"],"names-history":["localhost/base:v1"],"#,
            r#""layer":"dc39349e231165d9852da90cea0e52febee1f4346bfaa631d1bd66b162c32589","#,
            r#""metadata":"{\"signatures-sizes\":{\"sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89"#,
            r#"f5a9cdd1c29c\":[]}}","#,
            r#""big-data-names":["sha256:863371aa3d067cc6db45de867095c852469b052e6195d6bfd3a95865f12458d2","#,
            r#""manifest-sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c","manifest","#,
            r#""signature-86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c"],"#,
            r#""big-data-sizes":{"manifest":498,"#,
            r#""manifest-sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c":498,"#,
            r#""sha256:863371aa3d067cc6db45de867095c852469b052e6195d6bfd3a95865f12458d2":326,"#,
            r#""signature-86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c":0},"#,
            r#""big-data-digests":{"manifest":"sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9c"#,
            r#"dd1c29c","#,
            r#""manifest-sha256:86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c":"sha256:86239"#,
            r#"175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c","#,
            r#""sha256:863371aa3d067cc6db45de867095c852469b052e6195d6bfd3a95865f12458d2":"sha256:863371aa3d067c"#,
            r#"c6db45de867095c852469b052e6195d6bfd3a95865f12458d2","#,
            r#""signature-86239175317ec3b2c3a4b2eb791c588bf48739b6dc4c97b46d89f5a9cdd1c29c":"sha256:e3b0c44298f"#,
            r#"c1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"#,
            r#""created":"2026-11-22T05:07:55.959013156Z"}"#
        );
        let mut image: Image = serde_json::from_str(text).expect("a record");
        assert_eq!(json::to_string(&image).expect("JSON"), text);
        assert_eq!((image.names.as_slice(), image.big_data_names.len()), (&["localhost/base:v1".to_owned()][..], 4));
        assert_eq!(image.digests(), [image.digest.as_str()], "its manifests have its own digest");
        image.extra.push(("from-the-future".to_owned(), RawValue::from_string("[1]".to_owned()).expect("JSON")));
        image.mapped_layers.push("copy".to_owned());
        let rewritten = json::to_string(&image).expect("JSON");
        assert!(rewritten.contains(r#","mapped-layers":["copy"],"metadata":"#), "{rewritten}");
        assert!(rewritten.ends_with(r#","from-the-future":[1]}"#), "{rewritten}");
    }

    #[test]
    fn what_a_record_leaves_out_is_empty() {
        let image: Image = serde_json::from_str(r#"{"id":"a","names":null}"#).expect("a record");
        assert!(image.digests().is_empty() && image.top_layers().next().is_none() && image.names.is_empty());
        assert_eq!(json::to_string(&image).expect("JSON"), r#"{"id":"a","created":"0001-01-01T00:00:00Z"}"#);
    }
}
