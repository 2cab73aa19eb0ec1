//! Making the best of files of records that can't be understood as a whole.

use serde_json::value::RawValue;

use super::record::{Location, Record};
use super::table::{RecordTable, sort_out};
use crate::locks::RecordBytes;

/// A table of what can be read, and the numbers of the files that are broken.
pub(crate) struct Salvaged<R> {
    pub(crate) table: RecordTable<R>,
    pub(crate) broken: Vec<usize>,
}

/// Reads `files` as far as they can be read: of a broken one every record before the break.
pub(crate) fn salvage<R: Record>(files: &[RecordBytes<'_>]) -> Salvaged<R> {
    let (mut records, mut damaged, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for (number, file) in files.iter().enumerate() {
        let Some(bytes) = file.bytes else { continue };
        let whole: Result<Option<Vec<&RawValue>>, _> = serde_json::from_slice(bytes);
        let raw = whole.map_or_else(
            |_| {
                broken.push(number);
                values_before_the_break(bytes)
            },
            Option::unwrap_or_default,
        );
        let location = Location::of_file(number);
        for raw in raw {
            sort_out(raw, location, &mut records, &mut damaged);
        }
    }
    Salvaged { table: RecordTable::of(records, damaged), broken }
}

/// The values of a JSON array up to the first that isn't whole.
fn values_before_the_break(bytes: &[u8]) -> Vec<&RawValue> {
    let mut found = Vec::new();
    let mut rest = bytes.trim_ascii_start().strip_prefix(b"[").unwrap_or_default();
    loop {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let Some(Ok(value)) = values.next() else { return found };
        let used = values.byte_offset();
        found.push(value);
        let Some(next) = rest[used..].trim_ascii_start().strip_prefix(b",") else { return found };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Layer;
    use std::path::Path;

    fn ids(text: &str) -> (Vec<String>, Vec<usize>) {
        let file = RecordBytes { path: Path::new("layers.json"), bytes: Some(text.as_bytes()) };
        let Salvaged { table, broken } = salvage::<Layer>(&[file]);
        (table.iter().map(|layer| layer.id.clone()).collect(), broken)
    }

    #[test]
    fn every_record_before_the_break_is_saved() {
        let whole = r#"[{"id":"a"},{"id":"b","names":["x, y"]},{"id":"c"}]"#;
        assert_eq!(ids(whole), (vec!["a".into(), "b".into(), "c".into()], Vec::new()));
        for cut in 1..whole.len() {
            let (found, broken) = ids(&whole[..cut]);
            assert_eq!(broken, [0], "cut at {cut}");
            assert!(found.len() <= 3 && found.iter().zip(["a", "b", "c"]).all(|(one, other)| one == other), "{cut}");
        }
        assert_eq!(ids(&whole[..whole.len() - 4]).0.len(), 2);
        for text in ["", "{", "null,", "[,", "]"] {
            assert_eq!(ids(text), (Vec::new(), vec![0]), "{text:?}");
        }
    }
}
