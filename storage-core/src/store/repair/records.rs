//! Records that can't be understood, or contradict each other: they leave the file, and are kept beside it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Repair, side_path};
use crate::error::{OsContext, Result};
use crate::locks::{MayTake, ThreadKey, World};
use crate::store::check::{Finding, Subject};
use crate::store::kept::Kept;
use crate::store::records::{Damaged, Edit, Location};
use crate::store::rubbish::Rubbish;
use crate::store::{Container, Image, Layer};

impl Repair<'_> {
    /// Takes damaged records and duplicates out of the files of the kinds that findings tell of.
    pub(super) fn contradictions(&mut self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<()> {
        let about = |subject| findings.iter().any(|finding| finding.subject == subject);
        if about(Subject::Layer) {
            let done = self.set_aside_layers(key);
            self.note(done)?;
        }
        if about(Subject::Image) {
            let done = self.set_aside::<Image>(key);
            self.note(done)?;
        }
        if about(Subject::Container) {
            let done = self.set_aside::<Container>(key);
            self.note(done)?;
        }
        self.report.repaired.extend(findings.iter().map(|&finding| finding.clone()));
        Ok(())
    }

    /// As [`Repair::set_aside`]; a layer whose record is taken out and that has a place is known again by that.
    fn set_aside_layers(&mut self, key: &mut ThreadKey) -> Result<()> {
        let damaged: BTreeSet<String> = self.store.layers()?.damaged().iter().filter_map(Damaged::id).collect();
        self.set_aside::<Layer>(key)?;
        if damaged.is_empty() {
            return Ok(());
        }
        self.recall_layers(key, &damaged)?;
        self.recall_digests(key)
    }

    fn set_aside<R: Kept>(&mut self, key: &mut ThreadKey) -> Result<()>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let store = self.store;
        let mut rubbish = Rubbish::of(store);
        let (mut guard, _key) = R::write(store, key, &mut rubbish)?;
        let files: Vec<PathBuf> = R::level(store).files().map(Path::to_path_buf).collect();
        let mut edit = Edit::of(guard.table());
        for (number, path) in files.iter().enumerate() {
            let location = Location::of_file(number);
            // What is taken out is kept first: nothing is lost whenever this ends.
            let kept = taken_out(guard.world(), path, guard.table(), location)?;
            if !kept.is_empty() {
                self.report.kept.push(keep(path, &kept)?);
                edit.rewrite(location);
            }
        }
        edit.remove_damaged();
        edit.remove_contradicting(guard.table());
        if edit.is_empty() { Ok(()) } else { store.save_edit(&mut guard, edit) }
    }
}

/// The raw records of a file that `table` has not, or not as they are: damaged ones, second ones of an id.
fn taken_out<R: Kept>(
    world: &impl World,
    path: &Path,
    table: &crate::store::RecordTable<R>,
    location: Location,
) -> Result<Vec<String>> {
    let Some((bytes, _)) = (if path.as_os_str().is_empty() { None } else { world.read(path)? }) else {
        return Ok(Vec::new());
    };
    let raw: Option<Vec<&serde_json::value::RawValue>> = serde_json::from_slice(&bytes).unwrap_or_default();
    let own: std::collections::HashSet<&str> = table
        .records()
        .filter(|record| record.location() == location)
        .filter(|record| !table.contradicting().iter().any(|other| std::sync::Arc::ptr_eq(record, other)))
        .filter_map(|record| record.raw())
        .map(|raw| &**raw)
        .collect();
    let mut seen = std::collections::HashSet::new();
    let stays = |raw: &str| own.contains(raw) && seen.insert(raw.to_owned());
    let mut stays = stays;
    Ok(raw.unwrap_or_default().into_iter().map(|raw| raw.get().to_owned()).filter(|raw| !stays(raw)).collect())
}

/// Writes what is taken out of `path` to a new file beside it.
fn keep(path: &Path, records: &[String]) -> Result<PathBuf> {
    let side = side_path(path);
    let made = File::options().create_new(true).write(true).mode(0o600).open(&side);
    let mut file = made.os("open", &side)?;
    file.write_all(format!("[{}]", records.join(",")).as_bytes()).os("write", &side)?;
    file.sync_data().os("fdatasync", &side)?;
    Ok(side)
}
