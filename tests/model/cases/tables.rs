//! Records of the simplest form: lines of text.

use storage_core::Result;
use storage_core::locks::changes::{Changed, LayerRecords};
use storage_core::locks::counting::Counts;
use storage_core::locks::{RecordBytes, Table};

/// What stands behind the id of a layer that is marked incomplete.
const INCOMPLETE: char = '!';

/// A list of records, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl Lines {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Lines(String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.join("\n").into_bytes()
    }

    pub(crate) fn and(&self, line: &str) -> Self {
        Lines(self.0.iter().cloned().chain([line.to_owned()]).collect())
    }

    fn filtered(&self, stays: impl Fn(&str) -> bool) -> Option<Changed<Self>> {
        let rest: Vec<_> = self.0.iter().filter(|line| stays(line)).cloned().collect();
        (rest.len() < self.0.len()).then(|| (Lines(rest), vec![0]))
    }
}

impl Table for Lines {
    const LOADING: &'static str = "load lines";

    fn parse(files: &[RecordBytes<'_>]) -> Result<Self> {
        Ok(files.first().and_then(|file| file.bytes).map(Lines::of).unwrap_or_default())
    }

    fn serialise(&self, _file: usize) -> Vec<u8> {
        self.bytes()
    }
}

impl LayerRecords for Lines {
    fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|line| line == id)
    }

    fn needs_repair(&self) -> bool {
        self.0.iter().any(|line| line.ends_with(INCOMPLETE))
    }

    fn incomplete_ids(&self) -> Vec<String> {
        self.0.iter().filter_map(|line| line.strip_suffix(INCOMPLETE)).map(str::to_owned).collect()
    }

    fn without(&self, ids: &[String]) -> Option<Changed<Self>> {
        self.filtered(|line| !ids.iter().any(|id| line.trim_end_matches(INCOMPLETE) == id))
    }

    fn without_incomplete(&self, ids: &[String]) -> Option<Changed<Self>> {
        self.filtered(|line| line.strip_suffix(INCOMPLETE).is_none_or(|line| !ids.iter().any(|id| id == line)))
    }
}

impl Counts for Lines {
    fn count(&self, id: &str) -> u64 {
        let count = |line: &String| line.split_once(' ').filter(|(of, _)| *of == id)?.1.parse().ok();
        self.0.iter().find_map(count).unwrap_or_default()
    }

    fn with_count(&self, id: &str, _path: &str, count: u64) -> Self {
        let others = self.0.iter().filter(|line| line.split_once(' ').is_none_or(|(of, _)| of != id)).cloned();
        Lines(others.chain((count > 0).then(|| format!("{id} {count}"))).collect())
    }
}
