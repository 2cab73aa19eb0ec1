//! Changes to a table of records, gathered before one save.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::damaged::Damaged;
use super::record::{Location, NameScope, Record};
use super::table::RecordTable;

/// A new version of a table in the making.
#[derive(Debug)]
pub(crate) struct Edit<R> {
    records: Vec<Arc<R>>,
    damaged: Vec<Damaged>,
    changed: BTreeSet<usize>,
}

impl<R: Record> Edit<R> {
    /// Starts from `table`. What the table put right while it was read is part of the edit.
    pub(crate) fn of(table: &RecordTable<R>) -> Self {
        let records: Vec<_> = table.records().cloned().collect();
        let changed =
            records.iter().filter(|record| record.raw().is_none()).map(|record| record.location() as usize).collect();
        Edit { records, damaged: table.damaged().to_vec(), changed }
    }

    /// Adds a record at the end.
    pub(crate) fn push(&mut self, record: R) {
        self.changed.insert(record.location() as usize);
        self.records.push(Arc::new(record));
    }

    /// Changes the record of `id` that is seen.
    pub(crate) fn update(&mut self, id: &str, change: impl FnOnce(&mut R)) {
        let found = self.records.iter_mut().find(|record| record.id() == id && !record.is_incomplete());
        if let Some(record) = found {
            let record = Arc::make_mut(record);
            self.changed.insert(record.location() as usize);
            record.set_raw(None);
            change(record);
        }
    }

    /// Removes every record of `id`, in whichever file it stands.
    pub(crate) fn remove(&mut self, id: &str) {
        self.drop_where(|record| record.id() == id);
    }

    /// Removes the records of `id` that are marked incomplete.
    pub(crate) fn remove_incomplete(&mut self, id: &str) {
        self.drop_where(|record| record.id() == id && record.is_incomplete());
    }

    fn drop_where(&mut self, goes: impl Fn(&R) -> bool) {
        for record in self.records.iter().filter(|record| goes(record)) {
            self.changed.insert(record.location() as usize);
        }
        self.records.retain(|record| !goes(record));
    }

    /// Removes what can't be understood.
    pub(crate) fn remove_damaged(&mut self) {
        self.changed.extend(self.damaged.drain(..).map(|damaged| damaged.location as usize));
    }

    /// Removes the records that contradict others of `table`, which the edit began with.
    pub(crate) fn remove_contradicting(&mut self, table: &RecordTable<R>) {
        for record in table.contradicting() {
            self.changed.insert(record.location() as usize);
            self.records.retain(|own| !Arc::ptr_eq(own, record));
        }
    }

    /// Writes the file of `location` anew, whatever it holds now.
    pub(crate) fn rewrite(&mut self, location: Location) {
        self.changed.insert(location as usize);
    }

    /// Takes `name` from whoever has it, but the record of `id`, which stands at `location`.
    pub(crate) fn release_name(&mut self, name: &str, id: &str, location: Location) {
        let in_scope = |record: &R| R::NAME_SCOPE == NameScope::Level || record.location() == location;
        let has_it = |record: &R| record.id() != id && record.names().iter().any(|own| own == name);
        let whole = self.records.iter_mut().filter(|record| !record.is_incomplete());
        for record in whole.filter(|record| in_scope(record) && has_it(record)) {
            let record = Arc::make_mut(record);
            self.changed.insert(record.location() as usize);
            record.set_raw(None);
            record.names_mut().retain(|own| own != name);
        }
    }

    /// Whether anything was changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// The new table, and the files that hold what changed.
    pub(crate) fn finish(self) -> (RecordTable<R>, Vec<usize>) {
        let mut records = self.records;
        for record in &mut records {
            if record.raw().is_none()
                && let Ok(json) = record.to_json()
            {
                Arc::make_mut(record).set_raw(Some(json.into()));
            }
        }
        (RecordTable::of(records, self.damaged), self.changed.into_iter().collect())
    }
}
