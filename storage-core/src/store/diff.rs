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
use super::mapping::ShownLayer;
use super::sight::{StoreNumber, by_id, resolve};
use crate::archive::{Change, Compression, Encoder, replay};
use crate::driver::{Comparison, OwnerMaps, View};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath;
use crate::idmap::{Maps, Namespace};
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
        let _purpose = crate::record::purpose("diff");
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
        let _purpose = crate::record::purpose("changes");
        let reading = self.begin_reading(key, to, from, Exactness::Trees)?;
        if let Source::Trees(comparison) = &reading.source {
            comparison.changes(task, each)?;
        }
        reading.check()
    }

    /// The bytes of all files that `to` has beyond `from` (its parent, when `None`).
    pub fn diff_size(&self, key: &mut ThreadKey, to: &str, from: Option<&str>, task: &Task) -> Result<u64> {
        let _purpose = crate::record::purpose("diff size");
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
        // A namespace starts a process: not under the lock.
        let (shown, shown_base) =
            (self.shown_layer(to)?, from.map(|from| self.shown_layer(from)).transpose()?.flatten());
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let tables = self.layer_tables(guard.table(), [to].into_iter().chain(from));
        let (number, layer) = resolve(&tables, to, "diff")?;
        let base = match from.filter(|from| !from.is_empty()) {
            Some(from) => Some(resolve(&tables, from, "diff")?),
            None => by_id(&tables, &layer.parent),
        };
        let base_chain = base.into_iter().flat_map(|(_, base)| chain_of(&tables, base));
        let chain = chain_of(&tables, layer).chain(base_chain).cloned().collect();
        let reference = self.layer_ref_in(guard.table(), number, layer)?;
        let shared = guard.shared();
        let driver = self.gate.shared(&shared)?;
        let against_parent = base.map_or("", |(_, base)| base.id.as_str()) == layer.parent;
        let split = match exactness {
            Exactness::Bytes if against_parent && !layer.diff_digest.is_empty() => {
                self.open_tar_split(number, layer.layer_id()?.as_str())?
            }
            _ => None,
        };
        let source = if let Some(split) = split {
            Source::Archive { split, files: driver.own_files(&reference)? }
        } else {
            let (layer_maps, below_layer) = shown_as(shown, layer);
            let (base_maps, below_base) = base.map(|(_, base)| shown_as(shown_base, base)).unwrap_or_default();
            let maps = OwnerMaps { layer: layer_maps, base: base_maps, below_layer, below_base };
            let base = base.map(|(number, base)| self.layer_ref_in(guard.table(), number, base)).transpose()?;
            Source::Trees(driver.compare(&reference, base.as_ref(), &maps)?)
        };
        Ok(Reading { store: self, source, layer: Arc::clone(layer), chain })
    }

    pub(super) fn open_tar_split(&self, number: StoreNumber, id: &str) -> Result<Option<File>> {
        let additional = number.checked_sub(1).and_then(|number| self.additional.get(number));
        let opened = if let Some(other) = additional {
            other.open(&other.places().layers().join(format!("{id}.tar-split.gz")))
        } else {
            let path = self.tar_split_path(id);
            File::open(&path).os("open", &path)
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// With which maps the changes of `layer` are kept, and what shows under them what it stands on, where that is kept without.
fn shown_as(shown: Option<ShownLayer>, layer: &Layer) -> (Maps, Option<Namespace>) {
    match shown.filter(|shown| shown.layer == layer.id) {
        Some(shown) => (shown.namespace.maps().clone(), Some(shown.namespace)),
        None => (layer.maps(), None),
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
        let now = self.store.layer_tables(&self.store.layers()?, self.chain.iter().map(|layer| layer.id.as_str()));
        for layer in &self.chain {
            if !by_id(&now, &layer.id).is_some_and(|(_, now)| layer.same_content(now)) {
                return Err(Error::new(Kind::Changed, "diff")
                    .detail(format!("layer {} was deleted or changed while it was read", layer.id))
                    .remedy("start again"));
            }
        }
        Ok(())
    }
}

/// A layer and its ancestors, as far as the records know them.
pub(super) fn chain_of<'t>(
    tables: &'t [Arc<LayerTable>],
    layer: &'t Arc<Layer>,
) -> impl Iterator<Item = &'t Arc<Layer>> {
    let most = tables.iter().map(|table| table.len()).sum();
    std::iter::successors(Some(layer), |layer| by_id(tables, &layer.parent).map(|(_, parent)| parent)).take(most)
}
