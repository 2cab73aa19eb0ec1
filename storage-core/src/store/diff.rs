//! What a layer holds, as an archive, as a list of changes, or as a size.
//!
//! What is needed to tell is taken under a shared hold; the stream itself needs no store lock. At its end, before the archive
//! is ended, two things are looked at: fresh records still say the same of every layer of the chain, and every layer's
//! directory is the one that was read. If not, the stream fails and has no valid end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::Store;
use super::layers::{Layer, LayerTable};
use crate::archive::{Change, Compression, Encoder, replay};
use crate::driver::{Comparison, View};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath;
use crate::locks::ThreadKey;
use crate::task::Task;

/// How a diff is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiffOptions {
    /// How the archive is compressed; `None` takes what the layer was imported with.
    pub compression: Option<Compression>,
}

/// What is read for a diff.
enum Source {
    /// The archive that the layer was made from, again byte for byte.
    Archive { split: File, files: View },
    /// What differs between two trees.
    Trees(Box<dyn Comparison>),
}

/// A diff that has been begun: what it reads, and what must still be true at its end.
struct Reading<'s> {
    store: &'s Store,
    source: Source,
    layer: Arc<Layer>,
    chain: Vec<Arc<Layer>>,
}

impl Store {
    /// Writes to `out` the archive of what `to` holds beyond `from` (its parent, when `None`; beyond nothing when it has
    /// none). For a layer that was imported, against its parent, that is the imported archive byte for byte.
    ///
    /// Holds `layers.lock` shared for a moment; the stream holds no lock. Fails with [`Kind::Changed`] when a layer of the
    /// chain vanished or changed before the end: the archive then has no valid end.
    pub fn diff(
        &self,
        key: &mut ThreadKey,
        to: &str,
        from: Option<&str>,
        options: DiffOptions,
        out: &mut (dyn Write + Send),
        task: &Task,
    ) -> Result<()> {
        let reading = self.begin_reading(key, to, from, Exactness::Bytes)?;
        let compression = options.compression.or_else(|| reading.layer.compression()).unwrap_or(Compression::None);
        let mut out = Encoder::new(BufWriter::with_capacity(1 << 18, out), compression)?;
        match &reading.source {
            Source::Archive { split, files } => {
                let mut open = |path: &Path| beneath::open_file(files.root(), path, beneath::Links::Beneath);
                replay(split, &mut open, &mut out, &mut || reading.check(), task).map(|_| ())
            }
            Source::Trees(comparison) => comparison.pack(&mut out, &mut || reading.check(), task),
        }
        .map_err(|error| error.detail(format!("layer {}", reading.layer.id)))?;
        out.finish()?.flush().os("write", "the archive")
    }

    /// Calls `each` for every difference of `to` from `from` (its parent, when `None`), in the order of paths.
    pub fn changes(
        &self,
        key: &mut ThreadKey,
        to: &str,
        from: Option<&str>,
        task: &Task,
        each: &mut dyn FnMut(Change) -> Result<()>,
    ) -> Result<()> {
        let reading = self.begin_reading(key, to, from, Exactness::Trees)?;
        if let Source::Trees(comparison) = &reading.source {
            comparison.changes(task, each)?;
        }
        reading.check()
    }

    /// The bytes of all files that `to` has beyond `from` (its parent, when `None`).
    pub fn diff_size(&self, key: &mut ThreadKey, to: &str, from: Option<&str>, task: &Task) -> Result<u64> {
        let reading = self.begin_reading(key, to, from, Exactness::Trees)?;
        let size = match &reading.source {
            Source::Trees(comparison) => comparison.size(task)?,
            Source::Archive { .. } => 0,
        };
        reading.check()?;
        Ok(size)
    }

    fn begin_reading(
        &self,
        key: &mut ThreadKey,
        to: &str,
        from: Option<&str>,
        exactness: Exactness,
    ) -> Result<Reading<'_>> {
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let table = guard.table();
        let layer = table.resolve(to, "diff")?;
        let base = match from.filter(|from| !from.is_empty()) {
            Some(from) => Some(table.resolve(from, "diff")?),
            None => table.get(&layer.parent),
        };
        let chain =
            chain_of(table, layer).chain(base.into_iter().flat_map(|base| chain_of(table, base))).cloned().collect();
        let reference = self.layer_ref(table, layer)?;
        let shared = guard.shared();
        let driver = self.gate.shared(&shared)?;
        let against_parent = base.map_or("", |base| base.id.as_str()) == layer.parent;
        let split = match exactness {
            Exactness::Bytes if against_parent && !layer.diff_digest.is_empty() => self.open_tar_split(&layer.id)?,
            _ => None,
        };
        let source = if let Some(split) = split {
            Source::Archive { split, files: driver.own_files(&reference)? }
        } else {
            let base = base.map(|base| self.layer_ref(table, base)).transpose()?;
            Source::Trees(driver.compare(&reference, base.as_ref())?)
        };
        Ok(Reading { store: self, source, layer: Arc::clone(layer), chain })
    }

    pub(super) fn open_tar_split(&self, id: &str) -> Result<Option<File>> {
        let path = self.tar_split_path(id);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).os("open", &path),
        }
    }
}

/// Whether an archive must be the imported one byte for byte.
#[derive(Clone, Copy)]
enum Exactness {
    Bytes,
    Trees,
}

impl Reading<'_> {
    /// Whether everything that was read is still what it was.
    fn check(&self) -> Result<()> {
        match &self.source {
            Source::Archive { files, .. } => files.check()?,
            Source::Trees(comparison) => comparison.check()?,
        }
        let now = self.store.layers()?;
        for layer in &self.chain {
            if !now.get(&layer.id).is_some_and(|now| layer.same_content(now)) {
                return Err(Error::new(Kind::Changed, "diff")
                    .detail(format!("layer {} was deleted or changed while it was read", layer.id))
                    .remedy("start again"));
            }
        }
        Ok(())
    }
}

/// A layer and its ancestors, as far as the records know them.
fn chain_of<'t>(table: &'t LayerTable, layer: &'t Arc<Layer>) -> impl Iterator<Item = &'t Arc<Layer>> {
    std::iter::successors(Some(layer), |layer| table.get(&layer.parent)).take(table.len())
}
