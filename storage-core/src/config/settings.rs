//! What all files say together: the last word on every key, and who had it.

use std::collections::BTreeMap;
use std::path::Path;

use super::Source;
use super::document::Document;
use super::value::Value;

/// Settings by key.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, (Value, Source)>,
}

impl Settings {
    /// Adds what `file` says; it has the last word.
    pub(super) fn add(&mut self, file: &Path, document: Document) {
        for setting in document.settings {
            let source = Source::File { path: file.to_path_buf(), line: setting.line };
            let value = match setting.value {
                Value::More(items) => Value::List([self.list(&setting.key).to_vec(), items].concat()),
                value => value,
            };
            self.values.insert(setting.key, (value, source));
        }
    }

    /// Takes a key away, and says what it was.
    pub(super) fn take(&mut self, key: &str) -> Option<(Value, Source)> {
        self.values.remove(key)
    }

    /// Keeps only the keys that `keep` picks.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.values.retain(|key, _| keep(key));
    }

    /// A string that isn't empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some((Value::Text(text), _)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> &[String] {
        match self.values.get(key) {
            Some((Value::List(items) | Value::More(items), _)) => items,
            _ => &[],
        }
    }

    pub(super) fn is_on(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some((Value::Switch(true), _)))
    }

    /// A number above zero, which stands for none.
    pub(super) fn number(&self, key: &str) -> Option<u32> {
        match self.values.get(key) {
            Some((Value::Number(number), _)) if *number > 0 => Some(*number),
            _ => None,
        }
    }

    /// Every string below the table `table`, by the rest of its key.
    pub(super) fn texts_below<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(key, (value, _))| {
            let name = key.strip_prefix(table)?.strip_prefix('.')?;
            match value {
                Value::Text(text) => Some((name, text.as_str())),
                _ => None,
            }
        })
    }

    /// Who set a key.
    pub(super) fn source(&self, key: &str) -> Option<&Source> {
        self.values.get(key).map(|(_, source)| source)
    }

    /// Who set each key.
    pub(super) fn sources(&self) -> BTreeMap<String, Source> {
        self.values.iter().map(|(key, (_, source))| (key.clone(), source.clone())).collect()
    }
}
