//! `oci-layout` and `index.json`, as podman and skopeo write them.

use serde_json::{Map, Value, json};
use storage_core::{Error, Kind, Result};

use super::Fitted;
use crate::image_format::document::parse;
use crate::image_format::{bad, media};

/// What `oci-layout` holds.
pub(super) const MARK: &[u8] = br#"{"imageLayoutVersion": "1.0.0"}"#;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The `index.json` that has the images beside what is in `existing`, whose other fields stay as they are.
pub(super) fn updated(existing: Option<&[u8]>, images: &[Fitted<'_>]) -> Result<Vec<u8>> {
    let mut index: Map<String, Value> = match existing {
        Some(bytes) => parse(bytes, "index.json")?,
        None => Map::from_iter([("schemaVersion".to_owned(), json!(2))]),
    };
    let entries = index.entry("manifests").or_insert_with(|| json!([]));
    let entries = entries.as_array_mut().ok_or_else(|| bad("index.json can't be understood: it has no list"))?;
    for new in images.iter().flat_map(of_image) {
        entries.retain(|old| !is_replaced(old, &new));
        entries.push(new);
    }
    serde_json::to_vec(&index).map_err(|source| Error::new(Kind::Io, "write index.json").because(source))
}

/// An entry for each name; one without a name for an image that has none.
fn of_image(image: &Fitted<'_>) -> Vec<Value> {
    let (digest, size) = (image.manifest.digest.as_str(), image.manifest.bytes.len());
    let entry = json!({"mediaType": media::OCI_MANIFEST, "digest": digest, "size": size});
    if image.names.is_empty() {
        return vec![entry];
    }
    let named = |name: &String| {
        let mut entry = entry.clone();
        entry["annotations"] = json!({REF_NAME: name});
        entry
    };
    image.names.iter().map(named).collect()
}

/// Whether `new` takes the place of `old`: it has the same name, or both are one image without a name.
fn is_replaced(old: &Value, new: &Value) -> bool {
    let name = |entry: &Value| entry.pointer("/annotations").and_then(|all| all.get(REF_NAME)).cloned();
    name(old) == name(new) && (name(new).is_some() || old.get("digest") == new.get("digest"))
}
