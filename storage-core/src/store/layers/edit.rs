//! Changes to the table of layers, gathered before one save.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::record::Layer;
use super::table::LayerTable;

/// A new version of a table in the making.
#[derive(Debug)]
pub(crate) struct Edit {
    records: Vec<Arc<Layer>>,
    changed: BTreeSet<usize>,
}

impl Edit {
    /// Starts from `table`. What the table put right while it was read is part of the edit.
    pub(crate) fn of(table: &LayerTable) -> Self {
        let records: Vec<_> = table.records().cloned().collect();
        let changed = records.iter().filter(|layer| layer.raw.is_none()).map(|layer| layer.location as usize).collect();
        Edit { records, changed }
    }

    /// Adds a record at the end.
    pub(crate) fn push(&mut self, layer: Layer) {
        self.changed.insert(layer.location as usize);
        self.records.push(Arc::new(layer));
    }

    /// Changes the record of `id`.
    pub(crate) fn update(&mut self, id: &str, change: impl FnOnce(&mut Layer)) {
        if let Some(record) = self.records.iter_mut().find(|layer| layer.id == id && !layer.is_incomplete()) {
            let layer = Arc::make_mut(record);
            self.changed.insert(layer.location as usize);
            layer.raw = None;
            change(layer);
        }
    }

    /// Removes every record of `id`.
    pub(crate) fn remove(&mut self, id: &str) {
        self.drop_where(|layer| layer.id == id);
    }

    /// Removes the records of `id` that are marked incomplete.
    pub(crate) fn remove_incomplete(&mut self, id: &str) {
        self.drop_where(|layer| layer.id == id && layer.is_incomplete());
    }

    fn drop_where(&mut self, goes: impl Fn(&Layer) -> bool) {
        for layer in self.records.iter().filter(|layer| goes(layer)) {
            self.changed.insert(layer.location as usize);
        }
        self.records.retain(|layer| !goes(layer));
    }

    /// Takes `name` from whoever has it, but `but`.
    pub(crate) fn release_name(&mut self, name: &str, but: &str) {
        let owners: Vec<_> = self
            .records
            .iter()
            .filter(|layer| layer.id != but && layer.names.iter().any(|own| own == name))
            .map(|layer| layer.id.clone())
            .collect();
        for owner in owners {
            self.update(&owner, |layer| layer.names.retain(|own| own != name));
        }
    }

    /// Whether anything was changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// The new table, and the files that hold what changed.
    pub(crate) fn finish(self) -> (LayerTable, Vec<usize>) {
        let mut records = self.records;
        for layer in &mut records {
            if layer.raw.is_none()
                && let Ok(json) = layer.to_json()
            {
                Arc::make_mut(layer).raw = Some(json.into());
            }
        }
        (LayerTable::of(records), self.changed.into_iter().collect())
    }
}
