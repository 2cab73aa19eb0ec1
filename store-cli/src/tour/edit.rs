//! What the tour changes in a mounted layer, and what a list of changes must say of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use storage_core::Result;
use storage_core::error::OsContext;

use crate::engine::{Change, ChangeKind};

/// How many entries are looked at to find files that can be changed.
const SEARCHED: usize = 20_000;

/// What was changed.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    expected: BTreeMap<PathBuf, ChangeKind>,
    told: Vec<&'static str>,
}

impl Edits {
    /// Adds a directory with a file, edits a file, deletes one, and replaces one by a directory, in the tree at `root`.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        let mut edits = Edits::default();
        let mut files = Vec::new();
        find_files(root, &mut SEARCHED.clone(), &mut files)?;
        let added = root.join(format!("lamina-tour-{}", std::process::id()));
        fs::create_dir(&added).os("mkdir", &added)?;
        write_new(&added.join("added.txt"), "added by the tour\n")?;
        edits.expect(root, &added, ChangeKind::Add);
        edits.expect(root, &added.join("added.txt"), ChangeKind::Add);
        edits.told.push("added 2");
        let mut files = files.into_iter();
        if let Some(edited) = files.next() {
            let mut file = fs::OpenOptions::new().append(true).open(&edited).os("open", &edited)?;
            file.write_all(b"edited by the tour\n").os("write", &edited)?;
            edits.expect(root, &edited, ChangeKind::Modify);
            edits.told.push("edited 1");
        }
        if let Some(deleted) = files.next() {
            fs::remove_file(&deleted).os("unlink", &deleted)?;
            edits.expect(root, &deleted, ChangeKind::Delete);
            edits.told.push("deleted 1");
        }
        if let Some(replaced) = files.next() {
            fs::remove_file(&replaced).os("unlink", &replaced)?;
            fs::create_dir(&replaced).os("mkdir", &replaced)?;
            write_new(&replaced.join("inside.txt"), "where a file was\n")?;
            edits.expect(root, &replaced, ChangeKind::Modify);
            edits.expect(root, &replaced.join("inside.txt"), ChangeKind::Add);
            edits.told.push("replaced 1");
        }
        Ok(edits)
    }

    /// What was done, in words.
    pub(crate) fn text(&self) -> String {
        self.told.join(", ")
    }

    /// What is wrong with a list of changes: a change too few, one too many, or one of the wrong kind. A directory above
    /// a change may be in the list as modified.
    pub(crate) fn judge(&self, found: &[Change]) -> Option<String> {
        let mut missing = self.expected.clone();
        for change in found {
            let above = change.kind == ChangeKind::Modify
                && self.expected.keys().any(|path| path != &change.path && path.starts_with(&change.path));
            match missing.remove(&change.path) {
                Some(kind) if kind == change.kind => {}
                None if above => {}
                _ => return Some(format!("{:?} {} was not expected", change.kind, change.path.display())),
            }
        }
        missing.iter().next().map(|(path, kind)| format!("{kind:?} {} is missing", path.display()))
    }

    fn expect(&mut self, root: &Path, path: &Path, kind: ChangeKind) {
        let below = path.strip_prefix(root).unwrap_or(path);
        self.expected.insert(Path::new("/").join(below), kind);
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::create_new(path).os("create", path)?;
    file.write_all(text.as_bytes()).os("write", path)
}

/// The first three files with one name and some content, in the order of paths.
fn find_files(directory: &Path, budget: &mut usize, found: &mut Vec<PathBuf>) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).os("read directory", directory)? {
        paths.push(entry.os("read directory", directory)?.path());
    }
    paths.sort();
    for path in paths {
        if found.len() >= 3 || *budget == 0 {
            return Ok(());
        }
        *budget -= 1;
        let metadata = fs::symlink_metadata(&path).os("lstat", &path)?;
        if metadata.is_dir() {
            find_files(&path, budget, found)?;
        } else if metadata.is_file() && metadata.nlink() == 1 && metadata.len() > 0 {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_judged_by_what_was_done() {
        let change = |path: &str, kind| Change { path: path.into(), kind };
        let mut edits = Edits::default();
        edits.expect(Path::new("/m"), Path::new("/m/a/b"), ChangeKind::Delete);
        let right = [change("/a", ChangeKind::Modify), change("/a/b", ChangeKind::Delete)];
        assert_eq!(edits.judge(&right), None);
        assert!(edits.judge(&right[..1]).is_some(), "a missing change passes");
        assert!(edits.judge(&[change("/a/b", ChangeKind::Add)]).is_some(), "a wrong kind passes");
        assert!(
            edits.judge(&[change("/c", ChangeKind::Modify), right[1].clone()]).is_some(),
            "a change too many passes"
        );
    }
}
