//! What layers hold, against the archives that they were made from.
//!
//! The archive is put together again from the layer's files: its digest and size tell whether it is the one that the record
//! names, the checksums in it which file isn't. Its headers tell what else must be there, and what must not.

use std::fs::File;
use std::io::{BufReader, PipeReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Check;
use super::finding::{Finding, FindingKind};
use super::places::is_kept_beside;
use crate::archive::ingest::Whiteouts;
use crate::archive::{Difference, Expected, HashingWriter, Ignore, Loss, replay_all};
use crate::driver::View;
use crate::error::{Kind, OsContext, Result};
use crate::fs::beneath::{self, Links};
use crate::locks::ThreadKey;
use crate::mount::in_user_namespace;
use crate::store::{Layer, Store};
use crate::task::Task;

/// The most differences of one layer that are told one by one.
const MOST_TOLD: usize = 100;

/// What is read of one layer, with everything that keeps it what it is.
struct Source {
    layer: Arc<Layer>,
    split: File,
    files: View,
    /// For a layer whose own files stand in its whole tree, the layers below it, the base first; none where one of them has
    /// no archive.
    below: Option<Vec<(File, View)>>,
}

impl Check<'_> {
    /// Reads every layer of which an archive is known, several at once.
    pub(super) fn contents(&mut self, key: &mut ThreadKey) -> Result<()> {
        let _ = key;
        let table = self.store.layers()?;
        let ids: Vec<&str> =
            table.iter().filter(|layer| !layer.diff_digest.is_empty()).map(|layer| layer.id.as_str()).collect();
        let next = AtomicUsize::new(0);
        let found: Mutex<(Vec<Finding>, u64)> = Mutex::default();
        let failed: Mutex<Option<crate::error::Error>> = Mutex::default();
        let (store, task) = (self.store, self.task);
        let work = || {
            let done = ThreadKey::take().and_then(|mut key| {
                while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let findings = store.examine_content(&mut key, id, task)?;
                    if let (Some(findings), Ok(mut found)) = (findings, found.lock()) {
                        found.0.extend(findings);
                        found.1 += 1;
                    }
                }
                Ok(())
            });
            if let (Err(error), Ok(mut failed)) = (done, failed.lock()) {
                next.store(ids.len(), Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.options.threads.get().min(ids.len()) {
                scope.spawn(work);
            }
        });
        if let Ok(Some(error)) = failed.into_inner() {
            return Err(error);
        }
        if let Ok((findings, read)) = found.into_inner() {
            self.report.findings.extend(findings);
            self.report.read += read;
        }
        Ok(())
    }
}

/// What an archive that was put together again came to.
#[derive(Debug, Default)]
pub(in crate::store) struct Examined {
    pub(in crate::store) digest: String,
    pub(in crate::store) size: u64,
    /// Files that are missing or altered.
    pub(in crate::store) losses: Vec<Loss>,
    /// What else differs.
    pub(in crate::store) differences: Vec<Difference>,
}

impl Store {
    /// What is wrong with the content of a layer; none when there is nothing to compare it with, or it changed meanwhile.
    pub(in crate::store) fn examine_content(
        &self,
        key: &mut ThreadKey,
        id: &str,
        task: &Task,
    ) -> Result<Option<Vec<Finding>>> {
        let source = match self.content_source(key, id) {
            Ok(Some(source)) => source,
            Ok(None) => return Ok(None),
            // What the quick look tells already, or what is none of this driver's.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Corrupt | Kind::Escape | Kind::Changed) => {
                return Ok(None);
            }
            Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::LockMisuse | Kind::Locked) => {
                return Err(error);
            }
            Err(error) => return Ok(Some(vec![Finding::of_layer(FindingKind::NotExamined, id).because(&error)])),
        };
        let layer = Arc::clone(&source.layer);
        let finding = |kind| Finding::of_layer(kind, &layer.id);
        let examined = self.examine_source(&source, task);
        if source.files.check().is_err() || !self.is_still(&layer)? {
            return Ok(None);
        }
        let examined = match examined {
            Ok(examined) => examined,
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::BadArchive | Kind::Escape) => {
                let split = self.tar_split_path(&layer.id);
                return Ok(Some(vec![finding(FindingKind::TarSplitMissing).at(split).detail(error.to_string())]));
            }
            // What can't be read now may be whole all the same.
            Err(error) => return Ok(Some(vec![finding(FindingKind::NotExamined).because(&error)])),
        };
        let mut found = Vec::new();
        if examined.digest != layer.diff_digest && layer.diff_digest.starts_with("sha256:") {
            let detail = format!("it is {}, {} by its record", examined.digest, layer.diff_digest);
            found.push(finding(FindingKind::LayerDigest).detail(detail));
        }
        if layer.diff_size >= 0 && examined.size != layer.diff_size as u64 {
            let detail = format!("it has {} bytes, {} by its record", examined.size, layer.diff_size);
            found.push(finding(FindingKind::LayerSize).detail(detail));
        }
        let told: Vec<(String, String)> = modified(&examined);
        for (path, what) in told.iter().take(MOST_TOLD) {
            found.push(finding(FindingKind::LayerModified).at(path).detail(what.clone()));
        }
        if told.len() > MOST_TOLD {
            let detail = format!("and {} more files", told.len() - MOST_TOLD);
            found.push(finding(FindingKind::LayerModified).detail(detail));
        }
        Ok(Some(found))
    }

    /// Takes what is needed to read a layer, under a shared hold.
    fn content_source(&self, key: &mut ThreadKey, id: &str) -> Result<Option<Source>> {
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let Some(layer) = guard.table().get(id).filter(|layer| !layer.diff_digest.is_empty()).cloned() else {
            return Ok(None);
        };
        if self.is_mapped_copy(&layer)? {
            return Ok(None);
        }
        let Some(split) = self.open_tar_split(0, id)? else { return Ok(None) };
        if split.metadata().os("fstat", self.tar_split_path(id))?.len() == 0 {
            return Ok(None);
        }
        let reference = self.layer_ref(guard.table(), &layer)?;
        let shared = guard.shared();
        let driver = self.gate.shared(&shared)?;
        let files = driver.own_files(&reference)?;
        let mut below = Some(Vec::new());
        if self.gate.whiteouts() == Whiteouts::Apply {
            let mut next = reference.parent_ref();
            while let Some(parent) = next {
                let known = guard.table().get(parent.id.as_str()).is_some_and(|layer| !layer.diff_digest.is_empty());
                let split = if known { self.open_tar_split(0, parent.id.as_str())? } else { None };
                match (&mut below, split) {
                    (Some(below), Some(split)) => below.insert(0, (split, driver.own_files(&parent)?)),
                    _ => below = None,
                }
                next = parent.parent_ref();
            }
        }
        Ok(Some(Source { layer, split, files, below }))
    }

    fn examine_source(&self, source: &Source, task: &Task) -> Result<Examined> {
        let in_namespace = in_user_namespace();
        let ignore = Ignore {
            owners: !source.layer.uid_map.is_empty() || !source.layer.gid_map.is_empty() || self.ignores_owners(),
            privileged: in_namespace,
        };
        let mut expected = source.below.as_ref().map(|_| Expected::new(self.gate.whiteouts()));
        for (split, files) in source.below.iter().flatten() {
            // What is wrong with a layer below is told of that one.
            expected = match examine_archive(split, files, expected.take(), &Task::new("check")) {
                Ok((_, grown)) => grown,
                Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::BadArchive | Kind::Escape) => None,
                Err(error) => return Err(error),
            };
            task.step(0, 0)?;
        }
        let (mut examined, expected) = examine_archive(&source.split, &source.files, expected, task)?;
        if let Some(expected) = expected {
            examined.differences = expected.differences(source.files.root(), ignore, task)?;
        }
        Ok(examined)
    }

    /// Whether a layer may be the copy of an image's layer with other owners. It has the archive of what it is a copy of and, where
    /// layers share files, few or none of the files: nothing tells what is to be in it.
    pub(in crate::store) fn is_mapped_copy(&self, layer: &Layer) -> Result<bool> {
        if self.gate.whiteouts() == Whiteouts::Apply {
            return Ok(false);
        }
        let has_maps = !layer.uid_map.is_empty() || !layer.gid_map.is_empty();
        match self.images.snapshot() {
            Ok(images) => {
                let known = images.iter().any(|image| image.mapped_layers.contains(&layer.id));
                let uncertain = !images.damaged().is_empty() || is_kept_beside(self.images.files());
                Ok(known || (has_maps && uncertain))
            }
            Err(error) if error.kind() == Kind::Corrupt => Ok(has_maps),
            Err(error) => Err(error),
        }
    }

    fn ignores_owners(&self) -> bool {
        self.driver_options().iter().any(|option| option.ends_with("ignore_chown_errors=true"))
    }
}

/// Files that are not what they were, each once: what is wrong with their content is said first.
fn modified(examined: &Examined) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    for loss in &examined.losses {
        told.push((Path::new("/").join(&loss.path).display().to_string(), loss.what.to_owned()));
    }
    for difference in &examined.differences {
        let path = difference.path.display().to_string();
        if !told.iter().any(|(known, _)| *known == path) {
            told.push((path, difference.what.clone()));
        }
    }
    told
}

/// Puts an archive together again, and adds what it says to `expected`.
pub(in crate::store) fn examine_archive(
    split: &File,
    files: &View,
    expected: Option<Expected>,
    task: &Task,
) -> Result<(Examined, Option<Expected>)> {
    let (reader, writer) = std::io::pipe().os("pipe", "")?;
    std::thread::scope(|scope| {
        let headers = scope.spawn(move || read_headers(reader, expected));
        let mut examined = Examined::default();
        let mut out = HashingWriter::new(Tee(Some(writer)));
        let mut open = |path: &Path| match beneath::open_file(files.root(), path, Links::Beneath) {
            Ok(file) if file.metadata().is_ok_and(|metadata| !metadata.is_file()) => {
                Err(crate::error::Error::new(Kind::NotFound, "open file").at(path))
            }
            Err(error) if error.kind() == Kind::Escape => {
                Err(crate::error::Error::new(Kind::NotFound, "open file").at(path))
            }
            opened => opened,
        };
        let losses = &mut examined.losses;
        let replayed = replay_all(split, &mut open, &mut out, &mut |loss| losses.push(loss), task);
        let (tee, digest, size) = out.finish();
        drop(tee);
        let headers = headers.join().unwrap_or(Ok(None));
        replayed?;
        (examined.digest, examined.size) = (digest, size);
        Ok((examined, headers?))
    })
}

fn read_headers(archive: PipeReader, expected: Option<Expected>) -> Result<Option<Expected>> {
    let mut archive = BufReader::with_capacity(256 * 1024, archive);
    let Some(mut expected) = expected else { return drain(&mut archive).map(|()| None) };
    let added = expected.add(&mut archive);
    drain(&mut archive)?;
    added.map(|()| Some(expected))
}

fn drain(archive: &mut impl std::io::Read) -> Result<()> {
    std::io::copy(archive, &mut std::io::sink()).os("read", "the archive").map(drop)
}

/// Passes on what it can; nobody who listens any more is no failure.
struct Tee<W>(Option<W>);

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.as_mut().is_some_and(|out| out.write_all(bytes).is_err()) {
            self.0 = None;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
