//! The records of one kind as one immutable table.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use super::damaged::Damaged;
use super::record::{Location, NameScope, Record};
use crate::error::{Error, Kind, Result};
use crate::locks::{RecordBytes, Table};

/// All records of one kind in a store at one moment, in the order in which they were made.
///
/// Records that are marked incomplete are there for the next writer to clean up; nothing else sees them.
#[derive(Debug)]
pub struct RecordTable<R> {
    records: Vec<Arc<R>>,
    by_id: HashMap<Box<str>, usize>,
    by_name: HashMap<Box<str>, usize>,
    by_alias: HashMap<Box<str>, usize>,
    /// Positions in the order of ids, for prefixes: made when first asked for.
    sorted: OnceLock<Vec<usize>>,
    incomplete: Vec<Arc<R>>,
    /// Records whose id another one has that stands in another file and is asked first.
    shadowed: Vec<Arc<R>>,
    damaged: Vec<Damaged>,
    needs_repair: bool,
}

impl<R> Default for RecordTable<R> {
    fn default() -> Self {
        RecordTable {
            records: Vec::new(),
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            by_alias: HashMap::new(),
            sorted: OnceLock::new(),
            incomplete: Vec::new(),
            shadowed: Vec::new(),
            damaged: Vec::new(),
            needs_repair: false,
        }
    }
}

impl<R: Record> RecordTable<R> {
    /// The table of `records`. Of two with one id the first is seen, and the second is kept where it stands in another file;
    /// of two owners of a name the last keeps it, where names are unique over all files, and the first where each file has
    /// its own. There the file of the image store is asked first, as the reference does.
    pub(crate) fn of(records: impl IntoIterator<Item = Arc<R>>, damaged: Vec<Damaged>) -> Self {
        let mut table = RecordTable { damaged, ..RecordTable::default() };
        let mut records: Vec<_> = records.into_iter().collect();
        if R::NAME_SCOPE == NameScope::File {
            records.sort_by_key(|record| record.location() != Location::ImageStore);
        }
        for record in records {
            table.add(record);
        }
        table
    }

    fn add(&mut self, record: Arc<R>) {
        if record.is_incomplete() {
            self.incomplete.push(record);
            self.needs_repair = true;
            return;
        }
        let position = self.records.len();
        if let Some(first) = self.by_id.get(record.id()).map(|first| &self.records[*first]) {
            let same = |other: &Arc<R>| other.id() == record.id() && other.location() == record.location();
            if !same(first) && !self.shadowed.iter().any(same) {
                self.shadowed.push(record);
            }
            return;
        }
        self.by_id.insert(record.id().into(), position);
        if let Some(alias) = record.alias() {
            self.by_alias.entry(alias.into()).or_insert(position);
        }
        let mut taken = Vec::new();
        for name in record.names() {
            match self.by_name.get(name.as_str()).copied() {
                Some(owner) if owner != position && self.in_different_scopes(owner, &record) => {}
                former => {
                    self.by_name.insert(name.as_str().into(), position);
                    taken.extend(former.filter(|owner| *owner != position).map(|owner| (owner, name.clone())));
                }
            }
        }
        self.records.push(record);
        for (owner, name) in taken {
            self.take_name(owner, &name);
        }
    }

    fn in_different_scopes(&self, owner: usize, record: &R) -> bool {
        R::NAME_SCOPE == NameScope::File && self.records[owner].location() != record.location()
    }

    fn take_name(&mut self, owner: usize, name: &str) {
        let record = Arc::make_mut(&mut self.records[owner]);
        record.names_mut().retain(|own| own != name);
        record.set_raw(None);
        self.needs_repair = true;
    }

    /// The records, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.records.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record with this identifier.
    pub fn get(&self, id: &str) -> Option<&Arc<R>> {
        self.by_id.get(id).map(|position| &self.records[*position])
    }

    /// The record with this identifier, else with this name, else with this alias (a container by its layer), else whose
    /// identifier alone begins so.
    pub fn find(&self, wanted: &str) -> Option<&Arc<R>> {
        self.find_exact(wanted).or_else(|| self.by_prefix(wanted))
    }

    /// As [`RecordTable::find`], but for the beginnings of identifiers.
    pub fn find_exact(&self, wanted: &str) -> Option<&Arc<R>> {
        let at = |index: &HashMap<Box<str>, usize>| index.get(wanted).map(|position| &self.records[*position]);
        self.get(wanted).or_else(|| at(&self.by_name)).or_else(|| at(&self.by_alias))
    }

    /// The owner of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<R>> {
        self.by_name.get(name).map(|position| &self.records[*position])
    }

    /// As [`RecordTable::find`]; fails with the kind's unknown condition, saying whether the prefix was ambiguous.
    pub fn resolve(&self, wanted: &str, operation: &'static str) -> Result<&Arc<R>> {
        self.find(wanted).ok_or_else(|| self.unknown(wanted, operation))
    }

    /// That nothing is called `wanted`.
    pub(crate) fn unknown(&self, wanted: &str, operation: &'static str) -> Error {
        let many = if wanted.is_empty() { 0 } else { self.prefix_range(wanted).len() };
        let detail = match many {
            0 => format!("no {} has {wanted:?} as its id, name or beginning of an id", R::ONE),
            many => format!("{many} {} have an id that begins with {wanted:?}", R::MANY),
        };
        Error::new(R::UNKNOWN, operation).detail(detail).remedy(format!("`lamina {0}` lists the {0}", R::MANY))
    }

    fn sorted(&self) -> &[usize] {
        self.sorted.get_or_init(|| {
            let mut positions: Vec<_> = (0..self.records.len()).collect();
            positions.sort_unstable_by(|a, b| self.records[*a].id().cmp(self.records[*b].id()));
            positions
        })
    }

    fn prefix_range(&self, prefix: &str) -> Range<usize> {
        let sorted = self.sorted();
        let start = sorted.partition_point(|position| self.records[*position].id() < prefix);
        let length = sorted[start..].partition_point(|position| self.records[*position].id().starts_with(prefix));
        start..start + length
    }

    fn by_prefix(&self, prefix: &str) -> Option<&Arc<R>> {
        if prefix.is_empty() {
            return None;
        }
        let range = self.prefix_range(prefix);
        (range.len() == 1).then(|| &self.records[self.sorted()[range.start]])
    }

    /// Records that can't be understood.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// What the records refer to that can't be understood: layers, images and parents that are in use all the same. Fails
    /// with [`Kind::Corrupt`] when one of them doesn't tell.
    pub(crate) fn hidden_references(&self) -> Result<HashSet<String>> {
        let mut all = HashSet::new();
        for damaged in &self.damaged {
            all.extend(damaged.references().ok_or_else(|| {
                Error::new(Kind::Corrupt, "look for users")
                    .detail(format!("a record among the {} can't be understood: {}", R::MANY, damaged.why))
                    .remedy("`lamina repair` sets it aside")
            })?);
        }
        Ok(all)
    }

    /// Records of what was left half-made or half-deleted.
    pub(crate) fn incomplete(&self) -> &[Arc<R>] {
        &self.incomplete
    }

    /// Whether a writer has something to put right.
    pub(crate) fn needs_repair(&self) -> bool {
        self.needs_repair
    }

    /// All records, shadowed and incomplete ones too: what a rewrite starts from. Of an id the one that is seen comes first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<R>> {
        self.records.iter().chain(&self.shadowed).chain(&self.incomplete)
    }

    /// The records whose id may stand only once and stands in another file too.
    pub(crate) fn contradicting(&self) -> &[Arc<R>] {
        match R::NAME_SCOPE {
            NameScope::Level => &self.shadowed,
            NameScope::File => &[],
        }
    }
}

impl<R: Record> Table for RecordTable<R> {
    const LOADING: &'static str = R::LOADING;

    fn parse(files: &[RecordBytes<'_>]) -> Result<Self> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        for (number, file) in files.iter().enumerate() {
            let location = Location::of_file(number);
            let Some(bytes) = file.bytes else { continue };
            if bytes.is_empty() && location == Location::Volatile {
                // It is not flushed: a loss of power may leave it so.
                continue;
            }
            let raw: Option<Vec<&RawValue>> = serde_json::from_slice(bytes).map_err(|source| {
                Error::new(Kind::Corrupt, Self::LOADING)
                    .at(file.path)
                    .detail(source.to_string())
                    .remedy("`lamina check` tells what is lost, and `lamina repair` saves what can be saved")
            })?;
            for raw in raw.unwrap_or_default() {
                sort_out(raw, location, &mut records, &mut damaged);
            }
        }
        Ok(RecordTable::of(records, damaged))
    }

    fn serialise(&self, file: usize) -> Vec<u8> {
        let location = Location::of_file(file);
        let own = self.records().filter(|record| record.location() == location);
        // Strings, numbers and values that were JSON before can always be written.
        let own = own.map(|record| record.to_json().unwrap_or_default());
        let damaged = self.damaged.iter().filter(|damaged| damaged.location == location);
        let all: Vec<String> = own.chain(damaged.map(|damaged| damaged.raw.to_string())).collect();
        format!("[{}]", all.join(",")).into_bytes()
    }
}

/// Puts a record among those that are understood, or among those that are not.
pub(super) fn sort_out<R: Record>(
    raw: &RawValue,
    location: Location,
    records: &mut Vec<Arc<R>>,
    damaged: &mut Vec<Damaged>,
) {
    match serde_json::from_str::<R>(raw.get()).map_err(|source| source.to_string()).and_then(with_id) {
        Ok(mut record) => {
            record.set_location(location);
            record.set_raw(Some(raw.get().into()));
            records.push(Arc::new(record));
        }
        Err(why) => damaged.push(Damaged { location, raw: raw.get().into(), why }),
    }
}

fn with_id<R: Record>(record: R) -> std::result::Result<R, String> {
    if record.id().is_empty() { Err("it has no id".to_owned()) } else { Ok(record) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Layer;
    use crate::store::records::Edit;
    use std::path::Path;

    fn parse(stable: &str) -> Result<RecordTable<Layer>> {
        parse_both(stable, None)
    }

    fn parse_both(stable: &str, volatile: Option<&str>) -> Result<RecordTable<Layer>> {
        let file = |bytes| RecordBytes { path: Path::new("layers.json"), bytes };
        RecordTable::parse(&[file(Some(stable.as_bytes())), file(volatile.map(str::as_bytes))])
    }

    #[test]
    fn records_are_found_by_id_then_name_then_unique_prefix() {
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
        let none = RecordBytes { path: Path::new("layers.json"), bytes: None };
        assert!(RecordTable::<Layer>::parse(&[none, none]).expect("no files").is_empty());
        for text in ["", "{", "[{]"] {
            assert_eq!(parse(text).map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt), "{text:?}");
        }
    }

    #[test]
    fn a_damaged_record_is_hidden_kept_and_in_nobodys_way() {
        let text = r#"[{"id":7},{"id":"a"},{"id":"b","names":3},{"names":["x"]}]"#;
        let table = parse(text).expect("the others are there");
        assert_eq!(table.iter().map(|layer| layer.id.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(table.damaged().iter().map(Damaged::id).collect::<Vec<_>>(), [None, Some("b".to_owned()), None]);
        let mut edit = Edit::of(&table);
        edit.update("a", |layer| layer.metadata = "m".to_owned());
        let (table, _) = edit.finish();
        let written = String::from_utf8(table.serialise(0)).expect("text");
        assert!(written.ends_with(r#",{"id":7},{"id":"b","names":3},{"names":["x"]}]"#), "{written}");
    }

    fn images(own: &str, image_store: &str) -> RecordTable<crate::store::Image> {
        let file = |bytes| RecordBytes { path: Path::new("images.json"), bytes };
        let files = [file(Some(own.as_bytes())), file(None), file(Some(image_store.as_bytes()))];
        RecordTable::parse(&files).expect("table")
    }

    #[test]
    fn an_image_in_two_files_stays_in_both_and_the_image_store_is_asked_first() {
        let own = r#"[{"id":"a","names":["n"],"created":"own"},{"id":"a","created":"again"},{"id":"b","names":["o"]}]"#;
        let table = images(own, r#"[{"id":"a","names":["o"],"created":"store"},{"id":"c","names":["n"]}]"#);
        assert_eq!(table.get("a").map(|image| image.created.as_str()), Some("store"));
        assert_eq!(table.find("n").map(|image| image.id.as_str()), Some("c"));
        assert_eq!(table.find("o").map(|image| image.id.as_str()), Some("a"));
        let text = |table: &RecordTable<_>, file| String::from_utf8(table.serialise(file)).expect("text");

        let mut edit = Edit::of(&table);
        edit.update("a", |image: &mut crate::store::Image| image.metadata = "m".to_owned());
        edit.release_name("n", "b", Location::Stable);
        let (edited, changed) = edit.finish();
        assert_eq!(changed, [0, 2]);
        assert!(edited.get("a").is_some_and(|image| image.metadata == "m"), "the one that is seen is changed");
        assert!(text(&edited, 2).contains(r#""n""#), "another file's name was taken");
        let own = text(&edited, 0);
        assert!(own.contains(r#""created":"own""#) && !own.contains("again") && !own.contains(r#""n""#), "{own}");

        let mut edit = Edit::of(&table);
        edit.remove("a");
        assert!(edit.finish().0.get("a").is_none(), "the other record came to light");
    }

    #[test]
    fn a_layer_in_two_files_contradicts_itself_and_is_kept_until_it_is_repaired() {
        let table = parse_both(r#"[{"id":"a"}]"#, Some(r#"[{"id":"a","metadata":"v"},{"id":"b"}]"#)).expect("table");
        let mut edit = Edit::of(&table);
        edit.update("b", |layer| layer.metadata = "m".to_owned());
        let (table, _) = edit.finish();
        assert!(String::from_utf8(table.serialise(1)).expect("text").contains(r#""v""#));
        let mut edit = Edit::of(&table);
        edit.remove_contradicting(&table);
        let (table, changed) = edit.finish();
        assert_eq!((table.serialise(0), changed), (br#"[{"id":"a"}]"#.to_vec(), vec![1]));
        assert!(!String::from_utf8(table.serialise(1)).expect("text").contains(r#""v""#));
    }

    #[test]
    fn an_empty_file_is_damage_only_where_files_are_flushed() {
        let table = parse_both(r#"[{"id":"a"}]"#, Some("")).expect("volatile");
        assert_eq!(table.len(), 1);
        assert_eq!(parse("").map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt));
    }

    #[test]
    fn a_name_that_stands_twice_in_one_record_stays() {
        let table = parse(r#"[{"id":"a","names":["n","n"]}]"#).expect("table");
        assert!(table.find("n").is_some() && table.get("a").is_some_and(|layer| !layer.names.is_empty()));
    }

    #[test]
    fn an_unchanged_table_is_written_as_it_was_read() {
        let text = r#"[{"id":"a","created":"x","unknown":1},{"id":"b","names":["q"],"created":"y"}]"#;
        assert_eq!(parse(text).expect("table").serialise(0), text.as_bytes());
        assert_eq!(parse("[]").expect("table").serialise(1), b"[]");
    }
}
