//! One file: TOML into settings, with the line of each.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::keys::{Known, known};
use super::value::{self, Value};
use crate::error::{Error, Kind, Result};

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) settings: Vec<Setting>,
    /// Keys that nobody knows, in words.
    pub(super) warnings: Vec<String>,
    /// Keys that mean nothing any more, in words.
    pub(super) notes: Vec<String>,
}

/// One key with its value.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) line: usize,
}

/// Reads `text`, the content of `file`.
pub(super) fn read(file: &Path, text: &str) -> Result<Document> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        let reason = error.message().replace('\n', "; ");
        refused(file, line, &reason)
            .remedy("correct the line: the file is TOML, as containers-storage.conf(5) shows it")
    })?;
    let mut reader = Reader { file, text, document: Document::default() };
    reader.table("", table.get_ref())?;
    Ok(reader.document)
}

/// An error about a line of a file.
pub(super) fn refused(file: &Path, line: usize, reason: &str) -> Error {
    Error::new(Kind::Usage, "read configuration").at(file).detail(format!("line {line}: {reason}"))
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    document: Document,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) -> Result<()> {
        for (name, value) in table {
            // A dot inside a name, which only quotes allow, must not pass for one between names.
            let quoted =
                if name.get_ref().contains('.') { format!("{:?}", name.get_ref()) } else { name.get_ref().to_string() };
            let key = if path.is_empty() { quoted } else { format!("{path}.{quoted}") };
            let line = line_of(self.text, name.span().start);
            self.entry(key, value.get_ref(), line)?;
        }
        Ok(())
    }

    fn entry(&mut self, key: String, value: &DeValue<'_>, line: usize) -> Result<()> {
        let place = format!("{} line {line}", self.file.display());
        match (known(&key), value) {
            (Known::Unknown, _) => self.document.warnings.push(format!("{place}: unknown key {key}, ignored")),
            (Known::Old, _) => self.document.notes.push(format!("{place}: {key} has no meaning any more")),
            (Known::Table, DeValue::Table(table)) => self.table(&key, table)?,
            (Known::Table, other) => {
                let reason = format!("{key} is of type {}, and a table is needed", other.type_str());
                return Err(refused(self.file, line, &reason).remedy(format!("write [{key}] on a line of its own")));
            }
            (Known::Value(shape), value) => {
                let value = value::read(value, shape).map_err(|wrong| {
                    refused(self.file, line, &format!("{key}: {}", wrong.detail)).remedy(wrong.remedy)
                })?;
                self.document.settings.push(Setting { key, value, line });
            }
        }
        Ok(())
    }
}

/// The line of the byte at `offset`, from 1 on.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Document> {
        read(Path::new("/etc/containers/storage.conf"), text)
    }

    #[test]
    fn settings_come_with_their_lines() {
        let document =
            of("[storage]\n\ndriver = \"vfs\"\n[storage.options]\npull_options = {a = \"b\"}\n").expect("read");
        let seen: Vec<_> = document.settings.iter().map(|each| (each.key.as_str(), each.line)).collect();
        assert_eq!(seen, [("storage.driver", 3), ("storage.options.pull_options.a", 5)]);
        assert!(document.warnings.is_empty() && document.notes.is_empty());
    }

    #[test]
    fn unknown_keys_are_warned_of_and_old_ones_noted() {
        let text = "[engine]\nx = 1\n[storage]\ngraphrot = \"/x\"\n[storage.options]\nremap-user = \"x\"\n\
                    [storage.options.thinpool]\nfs = \"xfs\"\n[storage.options.overlay]\nfoo = 1\n";
        let document = of(text).expect("read");
        assert_eq!(
            document.warnings,
            [
                "/etc/containers/storage.conf line 1: unknown key engine, ignored",
                "/etc/containers/storage.conf line 4: unknown key storage.graphrot, ignored",
                "/etc/containers/storage.conf line 10: unknown key storage.options.overlay.foo, ignored",
            ]
        );
        assert_eq!(document.notes.len(), 2, "{:?}", document.notes);
        assert!(document.settings.is_empty());
    }

    #[test]
    fn an_error_names_file_line_key_and_remedy() {
        for (text, words) in [
            ("[storage]\ndriver = \n", &["storage.conf: line 2: ", "correct the line"][..]),
            ("[storage]\ndriver = \"a\"\ndriver = \"b\"\n", &["line 3: ", "duplicate"]),
            ("\n\nstorage = 1\n", &["line 3: storage is of type integer", "write [storage]"]),
            ("[storage.options]\nsize = \"x\"\n", &["line 2: storage.options.size: \"x\" is no size", "\"10G\""]),
            (
                "[storage.options.pull_options]\na = true\n",
                &["line 2: storage.options.pull_options.a: is of type boolean"],
            ),
        ] {
            let error = of(text).expect_err(text);
            let shown = error.to_string();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(words.iter().all(|word| shown.contains(word)), "{text}: {shown}");
            assert!(shown.starts_with("read configuration /etc/containers/storage.conf: "), "{shown}");
        }
    }
}
