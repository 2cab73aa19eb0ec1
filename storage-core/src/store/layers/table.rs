//! What the table of layers tells beyond what every table does: who stands on whom.

use std::collections::HashSet;
use std::sync::Arc;

use super::record::Layer;
use crate::driver::{Ancestor, Home, LayerRef};
use crate::error::{Error, Kind, Result};
use crate::locks::changes::{Changed, LayerRecords};
use crate::store::records::{Edit, RecordTable};

/// The names of the record files, in the order of [`crate::store::Location`].
pub(crate) const FILES: [&str; 2] = ["layers.json", "volatile-layers.json"];

/// All layers of a store at one moment, in the order in which they were made.
pub type LayerTable = RecordTable<Layer>;

impl RecordTable<Layer> {
    /// The layers whose parent is `id`.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.iter().filter(move |layer| layer.parent == id)
    }
}

impl LayerRecords for RecordTable<Layer> {
    fn knows(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    fn needs_repair(&self) -> bool {
        RecordTable::needs_repair(self)
    }

    fn incomplete_ids(&self) -> Vec<String> {
        self.incomplete().iter().map(|layer| layer.id.clone()).collect()
    }

    fn without(&self, ids: &[String]) -> Option<Changed<Self>> {
        let mut edit = Edit::of(self);
        for id in ids {
            edit.remove(id);
        }
        (!edit.is_empty()).then(|| edit.finish())
    }

    fn without_incomplete(&self, ids: &[String]) -> Option<Changed<Self>> {
        let mut edit = Edit::of(self);
        for id in ids {
            edit.remove_incomplete(id);
        }
        (!edit.is_empty()).then(|| edit.finish())
    }
}

/// The home of a layer of the store with this number: the store's own is 0.
fn home_of(layer: &Layer, number: usize) -> Home {
    match number.checked_sub(1) {
        None => layer.home(),
        // More stores than a number can tell apart are not looked into.
        Some(additional) => Home::Additional(u16::try_from(additional).unwrap_or(u16::MAX)),
    }
}

/// The layer of the store `number` and those below it, as a driver wants to know them: `find` tells where the record of an id
/// stands. Fails with [`Kind::Corrupt`] when the records form no chain, with [`Kind::Escape`] when one has an id that can't
/// be a file name.
pub(crate) fn layer_ref(
    number: usize,
    layer: &Layer,
    mut find: impl FnMut(&str) -> Option<(usize, Arc<Layer>)>,
) -> Result<LayerRef> {
    let mut ancestors: Vec<Ancestor> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut parent = layer.parent.clone();
    while !parent.is_empty() {
        let found = if seen.insert(parent.clone()) { find(&parent) } else { None };
        let (number, record) = found.ok_or_else(|| {
            Error::new(Kind::Corrupt, "follow parents")
                .detail(format!("layer {}: its ancestor {parent} is missing or its own descendant", layer.id))
                .remedy("`lamina repair` removes a layer whose parent is lost")
        })?;
        ancestors.push(Ancestor { id: record.layer_id()?, home: home_of(&record, number) });
        parent.clone_from(&record.parent);
    }
    Ok(LayerRef { id: layer.layer_id()?, home: home_of(layer, number), ancestors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::{RecordBytes, Table};
    use std::path::Path;

    fn parse(stable: &str) -> Result<LayerTable> {
        LayerTable::parse(&[RecordBytes { path: Path::new("layers.json"), bytes: Some(stable.as_bytes()) }])
    }

    #[test]
    fn parents_that_form_a_circle_or_are_missing_are_corrupt() {
        let table =
            parse(r#"[{"id":"a","parent":"b"},{"id":"b","parent":"a"},{"id":"c","parent":"gone"}]"#).expect("table");
        for id in ["a", "c"] {
            let layer = table.get(id).expect("there");
            let find = |id: &str| Some((0, Arc::clone(table.get(id)?)));
            assert_eq!(layer_ref(0, layer, find).map_err(|error| error.kind()), Err(Kind::Corrupt));
        }
    }
}
