//! The layers' records as one immutable table.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use super::record::{Layer, Location};
use crate::driver::LayerRef;
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::Table;

/// The names of the record files, in the order of [`Location`].
pub(crate) const FILES: [&str; 2] = ["layers.json", "volatile-layers.json"];

/// All layers of a store at one moment, in the order in which they were made.
///
/// Records that are marked incomplete are there for the next writer to clean up; nothing else sees them.
#[derive(Debug, Default)]
pub struct LayerTable {
    layers: Vec<Arc<Layer>>,
    by_id: HashMap<Box<str>, usize>,
    by_name: HashMap<Box<str>, usize>,
    /// Positions in the order of ids, for prefixes: made when first asked for.
    sorted: OnceLock<Vec<usize>>,
    incomplete: Vec<Arc<Layer>>,
    needs_repair: bool,
}

impl LayerTable {
    /// The table of `layers`. Of two records with one id the first stays; of two owners of a name the last keeps it.
    pub(crate) fn of(layers: impl IntoIterator<Item = Arc<Layer>>) -> Self {
        let mut table = LayerTable::default();
        for layer in layers {
            if layer.is_incomplete() {
                table.incomplete.push(layer);
                table.needs_repair = true;
                continue;
            }
            let position = table.layers.len();
            if table.by_id.contains_key(layer.id.as_str()) {
                continue;
            }
            table.by_id.insert(layer.id.as_str().into(), position);
            let mut taken = Vec::new();
            for name in &layer.names {
                let former = table.by_name.insert(name.as_str().into(), position);
                taken.extend(former.filter(|owner| *owner != position).map(|owner| (owner, name.clone())));
            }
            table.layers.push(layer);
            for (owner, name) in taken {
                table.take_name(owner, &name);
            }
        }
        table
    }

    fn take_name(&mut self, owner: usize, name: &str) {
        let layer = Arc::make_mut(&mut self.layers[owner]);
        layer.names.retain(|own| own != name);
        layer.raw = None;
        self.needs_repair = true;
    }

    /// The layers, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.layers.iter()
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layer with this identifier.
    pub fn get(&self, id: &str) -> Option<&Arc<Layer>> {
        self.by_id.get(id).map(|position| &self.layers[*position])
    }

    /// The layer with this identifier, else with this name, else whose identifier alone begins so.
    pub fn find(&self, wanted: &str) -> Option<&Arc<Layer>> {
        self.get(wanted)
            .or_else(|| self.by_name.get(wanted).map(|position| &self.layers[*position]))
            .or_else(|| self.by_prefix(wanted))
    }

    /// As [`LayerTable::find`]; fails with [`Kind::LayerUnknown`], saying whether the prefix was ambiguous.
    pub fn resolve(&self, wanted: &str, operation: &'static str) -> Result<&Arc<Layer>> {
        self.find(wanted).ok_or_else(|| {
            let many = if wanted.is_empty() { 0 } else { self.prefix_range(wanted).len() };
            let detail = match many {
                0 => format!("no layer has {wanted:?} as its id, name or beginning of an id"),
                many => format!("{many} layers have an id that begins with {wanted:?}"),
            };
            Error::new(Kind::LayerUnknown, operation).detail(detail).remedy("`lamina layers` lists the layers")
        })
    }

    fn sorted(&self) -> &[usize] {
        self.sorted.get_or_init(|| {
            let mut positions: Vec<_> = (0..self.layers.len()).collect();
            positions.sort_unstable_by(|a, b| self.layers[*a].id.cmp(&self.layers[*b].id));
            positions
        })
    }

    fn prefix_range(&self, prefix: &str) -> Range<usize> {
        let sorted = self.sorted();
        let start = sorted.partition_point(|position| self.layers[*position].id.as_str() < prefix);
        let length = sorted[start..].partition_point(|position| self.layers[*position].id.starts_with(prefix));
        start..start + length
    }

    fn by_prefix(&self, prefix: &str) -> Option<&Arc<Layer>> {
        if prefix.is_empty() {
            return None;
        }
        let range = self.prefix_range(prefix);
        (range.len() == 1).then(|| &self.layers[self.sorted()[range.start]])
    }

    /// The layers whose parent is `id`.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.layers.iter().filter(move |layer| layer.parent == id)
    }

    /// The layer and those below it, as a driver wants to know them. Fails with [`Kind::Corrupt`] when the records form no
    /// chain, with [`Kind::Escape`] when one has an id that can't be a file name.
    pub fn layer_ref(&self, layer: &Layer) -> Result<LayerRef> {
        let mut ancestors: Vec<LayerId> = Vec::new();
        let mut parent = layer.parent.as_str();
        while !parent.is_empty() {
            let record = self.get(parent).filter(|_| ancestors.len() <= self.layers.len()).ok_or_else(|| {
                Error::new(Kind::Corrupt, "follow parents")
                    .detail(format!("layer {}: its ancestor {parent} is missing or its own descendant", layer.id))
                    .remedy("`lamina delete-layer` removes a layer whose parent is lost")
            })?;
            ancestors.push(record.layer_id()?);
            parent = &record.parent;
        }
        Ok(LayerRef::own(layer.layer_id()?, ancestors))
    }

    /// Records of layers that were left half-made or half-deleted.
    pub(crate) fn incomplete(&self) -> &[Arc<Layer>] {
        &self.incomplete
    }

    /// Whether a writer has something to put right.
    pub(crate) fn needs_repair(&self) -> bool {
        self.needs_repair
    }

    /// All records, incomplete ones too: what a rewrite starts from.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.layers.iter().chain(&self.incomplete)
    }
}

impl Table for LayerTable {
    const LOADING: &'static str = "load layers";

    fn parse(files: &[Option<Vec<u8>>]) -> Result<Self> {
        let mut layers = Vec::new();
        for ((bytes, name), location) in files.iter().zip(FILES).zip([Location::Stable, Location::Volatile]) {
            let Some(bytes) = bytes else { continue };
            if bytes.is_empty() && location == Location::Volatile {
                // It is not flushed: a loss of power may leave it so.
                continue;
            }
            let corrupt = |source: serde_json::Error| {
                Error::new(Kind::Corrupt, Self::LOADING)
                    .at(name)
                    .detail(source.to_string())
                    .remedy("restore the file from a copy, or move it away to start with no layers")
            };
            let records: Vec<&RawValue> =
                serde_json::from_slice::<Option<_>>(bytes).map_err(corrupt)?.unwrap_or_default();
            for record in records {
                let mut layer: Layer = serde_json::from_str(record.get()).map_err(corrupt)?;
                layer.location = location;
                layer.raw = Some(record.get().into());
                layers.push(Arc::new(layer));
            }
        }
        Ok(LayerTable::of(layers))
    }

    fn serialise(&self, file: usize) -> Vec<u8> {
        let mut bytes = vec![b'['];
        for layer in self.records().filter(|layer| layer.location as usize == file) {
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            // Strings, numbers and values that were JSON before can always be written.
            bytes.extend_from_slice(layer.to_json().unwrap_or_default().as_bytes());
        }
        bytes.push(b']');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(stable: &str) -> Result<LayerTable> {
        LayerTable::parse(&[Some(stable.as_bytes().to_vec()), None])
    }

    #[test]
    fn layers_are_found_by_id_then_name_then_unique_prefix() {
        let table = parse(r#"[{"id":"aab"},{"id":"aac","names":["aab","n"]},{"id":"b"}]"#).expect("table");
        let id = |wanted: &str| table.find(wanted).map(|layer| layer.id.clone());
        assert_eq!(id("aab").as_deref(), Some("aab"), "an id goes before a name");
        assert_eq!(id("n").as_deref(), Some("aac"));
        assert_eq!(id("aa"), None, "an ambiguous prefix finds nothing");
        assert_eq!(id("").as_deref(), None);
        assert_eq!(id("b").as_deref(), Some("b"));
        let error = table.resolve("aa", "test").expect_err("ambiguous");
        assert!(error.to_string().contains("2 layers"), "{error}");
    }

    #[test]
    fn incomplete_records_are_hidden_and_duplicates_resolved_as_the_reference_does() {
        let table = parse(
            r#"[{"id":"a","names":["n"]},{"id":"b","names":["n"]},{"id":"a","names":["z"]},{"id":"c","flags":{"incomplete":true}}]"#,
        )
        .expect("table");
        assert_eq!(table.len(), 2);
        assert!(table.get("c").is_none() && table.incomplete().len() == 1);
        assert_eq!(table.find("n").map(|layer| layer.id.as_str()), Some("b"), "the later owner keeps a name");
        assert!(table.get("a").is_some_and(|layer| layer.names.is_empty()));
        assert!(table.needs_repair());
    }

    #[test]
    fn damaged_files_are_corrupt_and_missing_ones_are_empty() {
        assert!(LayerTable::parse(&[None, None]).expect("no files").is_empty());
        for text in ["", "{", "[{]", r#"[{"id":7}]"#] {
            assert_eq!(parse(text).map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt), "{text:?}");
        }
    }

    #[test]
    fn an_empty_file_is_damage_only_where_files_are_flushed() {
        let table = LayerTable::parse(&[Some(br#"[{"id":"a"}]"#.to_vec()), Some(Vec::new())]).expect("volatile");
        assert_eq!(table.len(), 1);
        assert_eq!(parse("").map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt));
    }

    #[test]
    fn a_name_that_stands_twice_in_one_record_stays() {
        let table = parse(r#"[{"id":"a","names":["n","n"]}]"#).expect("table");
        assert!(table.find("n").is_some() && table.get("a").is_some_and(|layer| !layer.names.is_empty()));
    }

    #[test]
    fn parents_that_form_a_circle_or_are_missing_are_corrupt() {
        let table =
            parse(r#"[{"id":"a","parent":"b"},{"id":"b","parent":"a"},{"id":"c","parent":"gone"}]"#).expect("table");
        for id in ["a", "c"] {
            let layer = table.get(id).expect("there");
            assert_eq!(table.layer_ref(layer).map_err(|error| error.kind()), Err(Kind::Corrupt));
        }
    }

    #[test]
    fn an_unchanged_table_is_written_as_it_was_read() {
        let text = r#"[{"id":"a","created":"x","unknown":1},{"id":"b","names":["q"],"created":"y"}]"#;
        assert_eq!(parse(text).expect("table").serialise(0), text.as_bytes());
        assert_eq!(parse("[]").expect("table").serialise(1), b"[]");
    }
}
