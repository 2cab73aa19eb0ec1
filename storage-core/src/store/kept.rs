//! What is done alike with layers, images and containers: how their level is reached, and how a record is changed.

use std::path::PathBuf;
use std::sync::Arc;

use super::images::MANIFEST;
use super::records::{Edit, Record, RecordTable};
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use super::{Container, Image, Item, Layer, Store};
use crate::error::Result;
use crate::fs::TempDirs;
use crate::ids::LayerId;
use crate::locks::level::{Containers, Images, Layers, Level};
use crate::locks::{Guarded, Kernel, Key, MayTake, ThreadKey, World, WriteGuard, temporary_path};

/// A hold of one kind's level for writing.
pub(super) type KeptGuard<'g, R> = WriteGuard<'g, <R as Kept>::Level, RecordTable<R>, Kernel>;
/// A hold of the images for writing.
pub(super) type ImagesGuard<'g> = KeptGuard<'g, Image>;
/// A hold of the containers for writing.
pub(super) type ContainersGuard<'g> = KeptGuard<'g, Container>;

/// One of the kinds, with the places where it is kept.
pub(super) trait Kept: Record {
    /// The level of its records.
    type Level: Level;

    /// Its records.
    fn level(store: &Store) -> &Guarded<Self::Level, RecordTable<Self>, Kernel>;

    /// The directory of its big data. Fails with [`crate::Kind::Escape`] for an id that leads elsewhere.
    fn directory(&self, store: &Store) -> Result<PathBuf>;

    /// Where its data is staged, so that a rename puts it in place.
    fn side_places(&self, store: &Store) -> TempDirs;

    /// Holds its records for writing, with nothing left to put right.
    fn write<'g, K: MayTake<Self::Level>>(
        store: &'g Store,
        key: &'g mut K,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(KeptGuard<'g, Self>, Key<'g, Self::Level>)>;

    /// Notes that the data `name` is there, with its size and digest where the kind records them.
    fn describe_data(&mut self, name: &str, size: i64, digest: &str);

    /// The record as an item.
    fn item(record: Arc<Self>) -> Item;
}

impl Kept for Layer {
    type Level = Layers;

    fn level(store: &Store) -> &Guarded<Layers, RecordTable<Self>, Kernel> {
        &store.layers
    }

    fn directory(&self, store: &Store) -> Result<PathBuf> {
        Ok(store.data_dir(self.layer_id()?.as_str()))
    }

    fn side_places(&self, store: &Store) -> TempDirs {
        store.side_places()
    }

    fn write<'g, K: MayTake<Layers>>(
        store: &'g Store,
        key: &'g mut K,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(LayersGuard<'g>, Key<'g, Layers>)> {
        store.write_layers(key, rubbish)
    }

    fn describe_data(&mut self, name: &str, _size: i64, _digest: &str) {
        note_name(&mut self.big_data_names, name);
    }

    fn item(record: Arc<Self>) -> Item {
        Item::Layer(record)
    }
}

impl Kept for Image {
    type Level = Images;

    fn level(store: &Store) -> &Guarded<Images, RecordTable<Self>, Kernel> {
        &store.images
    }

    fn directory(&self, store: &Store) -> Result<PathBuf> {
        Ok(store.places.images(self.location).join(LayerId::from_store(&self.id)?.as_str()))
    }

    fn side_places(&self, store: &Store) -> TempDirs {
        TempDirs::new(store.places.images(self.location).join("tmp"))
    }

    fn write<'g, K: MayTake<Images>>(
        store: &'g Store,
        key: &'g mut K,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(ImagesGuard<'g>, Key<'g, Images>)> {
        let _ = rubbish;
        write_repaired(&store.images, store, key, &store.places.image_files())
    }

    fn describe_data(&mut self, name: &str, size: i64, digest: &str) {
        note_name(&mut self.big_data_names, name);
        self.big_data_sizes.insert(name.to_owned(), size);
        self.big_data_digests.insert(name.to_owned(), digest.to_owned());
        if self.digest.is_empty() && name.starts_with(MANIFEST) {
            digest.clone_into(&mut self.digest);
        }
    }

    fn item(record: Arc<Self>) -> Item {
        Item::Image(record)
    }
}

impl Kept for Container {
    type Level = Containers;

    fn level(store: &Store) -> &Guarded<Containers, RecordTable<Self>, Kernel> {
        &store.containers
    }

    fn directory(&self, store: &Store) -> Result<PathBuf> {
        Ok(store.places.containers().join(LayerId::from_store(&self.id)?.as_str()))
    }

    fn side_places(&self, store: &Store) -> TempDirs {
        TempDirs::new(store.places.containers().join("tmp"))
    }

    fn write<'g, K: MayTake<Containers>>(
        store: &'g Store,
        key: &'g mut K,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<(ContainersGuard<'g>, Key<'g, Containers>)> {
        let _ = rubbish;
        write_repaired(&store.containers, store, key, &store.places.container_files())
    }

    fn describe_data(&mut self, name: &str, size: i64, digest: &str) {
        note_name(&mut self.big_data_names, name);
        self.big_data_sizes.insert(name.to_owned(), size);
        self.big_data_digests.insert(name.to_owned(), digest.to_owned());
    }

    fn item(record: Arc<Self>) -> Item {
        Item::Container(record)
    }
}

fn note_name(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|own| own == name) {
        names.push(name.to_owned());
    }
}

/// Holds a level for writing; half-written files of a dead writer go, and what was put right while the table was read is
/// saved.
fn write_repaired<'g, R: Kept, K: MayTake<R::Level>>(
    level: &'g Guarded<R::Level, RecordTable<R>, Kernel>,
    store: &'g Store,
    key: &'g mut K,
    files: &[PathBuf],
) -> Result<(KeptGuard<'g, R>, Key<'g, R::Level>)> {
    let (mut guard, key) = level.write(key, &store.wait)?;
    for path in files {
        guard.world().unlink(&temporary_path(path))?;
    }
    if guard.table().needs_repair() {
        let (table, changed) = Edit::of(guard.table()).finish();
        guard.save(table, &changed)?;
    }
    guard.world().refill_reserve();
    Ok((guard, key))
}

impl Store {
    /// Resolves `wanted` once, under the lock, changes its record, and saves. Returns the new record.
    pub(super) fn change<R: Kept>(
        &self,
        key: &mut ThreadKey,
        wanted: &str,
        operation: &'static str,
        change: impl FnOnce(&mut Edit<R>, &R) -> Result<()>,
    ) -> Result<Arc<R>>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let mut rubbish = Rubbish::of(self);
        let (mut guard, _key) = R::write(self, key, &mut rubbish)?;
        let record = Arc::clone(guard.table().resolve(wanted, operation)?);
        let mut edit = Edit::of(guard.table());
        change(&mut edit, &record)?;
        if !edit.is_empty() {
            self.save_edit(&mut guard, edit)?;
        }
        Ok(guard.table().get(record.id()).cloned().unwrap_or(record))
    }

    /// Saves what was changed, and makes the new name survive power loss, where that was asked for.
    pub(super) fn save_edit<R: Kept>(&self, guard: &mut KeptGuard<'_, R>, edit: Edit<R>) -> Result<()> {
        let (table, changed) = edit.finish();
        guard.save(table, &changed)?;
        self.flush_names(guard)
    }
}
