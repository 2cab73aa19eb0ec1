//! What a worker tells beside the recording: what it saw and what failed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use storage_core::error::OsContext;
use storage_core::{Error, Result};

/// One note.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub(super) enum Note {
    /// An operation that only reads is through; what of the store's files differs.
    Read { operation: String, files: usize, differences: Vec<String> },
    /// Something was not as it should be.
    Wrong { operation: String, what: String },
    /// An operation failed.
    Failed { operation: String, why: String },
    /// The kernel was asked whether the layers are locked, between two moments.
    Asked { from: u64, to: u64, locked: bool, holder: i64 },
    /// The worker did all it was told.
    Done,
}

/// Where a worker writes its notes.
#[derive(Debug)]
pub(super) struct Notes(Mutex<File>);

impl Notes {
    pub(super) fn append_to(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path).os("open", path)?;
        Ok(Notes(Mutex::new(file)))
    }

    pub(super) fn add(&self, note: &Note) {
        if let Ok(mut line) = serde_json::to_vec(note) {
            line.push(b'\n');
            // A worker that can't tell that it is done counts as one that isn't.
            let _ = self.0.lock().write_all(&line);
        }
    }

    pub(super) fn failed(&self, operation: &str, error: &Error) {
        self.add(&Note::Failed { operation: operation.to_owned(), why: error.to_string() });
    }

    pub(super) fn wrong(&self, operation: &str, what: impl Into<String>) {
        self.add(&Note::Wrong { operation: operation.to_owned(), what: what.into() });
    }
}

/// The notes in a file; none when the worker made none.
pub(super) fn read(path: &Path) -> Vec<Note> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Every file of a store with something that changes when it does. What is staged, lock files and what is noted for the time of
/// an operation is left out: that isn't what others see of layers.
pub(super) fn fingerprint(roots: &[&Path]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open: Vec<_> = roots.iter().map(|root| root.to_path_buf()).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let lock = entry.path().extension().is_some_and(|end| end == "lock");
            let passing = matches!(name.as_str(), "tempdirs" | "tmp") || lock;
            if passing || name.starts_with("lamina-") || name.starts_with(".tmp-") {
                continue;
            }
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            let stamp = if metadata.is_dir() {
                open.push(entry.path());
                // The first reader of a kind of records makes the directory of its lock file.
                if ["-layers", "-images", "-containers"].iter().any(|end| name.ends_with(end)) {
                    continue;
                }
                format!("directory {:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid())
            } else {
                let (size, time) = (metadata.len(), (metadata.mtime(), metadata.mtime_nsec()));
                format!("{:o} {}:{} {size} {}.{}", metadata.mode(), metadata.uid(), metadata.gid(), time.0, time.1)
            };
            found.insert(entry.path().display().to_string(), stamp);
        }
    }
    found
}

/// The paths in which two fingerprints differ.
pub(super) fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let changed = after.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp)).map(|(path, _)| path.clone());
    let gone = before.keys().filter(|path| !after.contains_key(*path)).cloned();
    changed.chain(gone).collect()
}
