//! What is in a store and in its additional stores, at one moment.

use std::sync::Arc;

use super::containers::{Container, ContainerTable};
use super::images::{Image, ImageTable};
use super::item::Item;
use super::layers::{Layer, LayerTable, layer_ref};
use super::records::{Record, RecordTable};
use super::{ItemKind, Store};
use crate::driver::LayerRef;
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;

/// Where something was found: 0 is the store itself, 1 its first additional store.
pub type StoreNumber = usize;

/// All records of a store and of its additional stores.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Layers, those of the store itself first.
    pub layers: Vec<Arc<LayerTable>>,
    /// Images, those of the store itself first.
    pub images: Vec<Arc<ImageTable>>,
    /// Containers: only the store itself has any.
    pub containers: Arc<ContainerTable>,
    /// What of additional stores can't be read and therefore counts as empty, with the reasons.
    pub unread: Vec<String>,
}

/// Looks through several tables in order.
fn find<'t, R: Record>(tables: &'t [Arc<RecordTable<R>>], wanted: &str) -> Option<(StoreNumber, &'t Arc<R>)> {
    tables.iter().enumerate().find_map(|(number, table)| table.find(wanted).map(|record| (number, record)))
}

/// A table of an additional store. One that can't be read is as good as empty; why goes to `unread`.
fn or_empty<R: Record>(table: Result<Arc<RecordTable<R>>>, unread: &mut Vec<String>) -> Arc<RecordTable<R>> {
    let table = table.unwrap_or_else(|error| {
        unread.push(format!("an additional store can't be read: {error}"));
        Arc::default()
    });
    if let Some(first) = table.damaged().first() {
        let (count, why) = (table.damaged().len(), &first.why);
        unread.push(format!("{count} of the {} of an additional store can't be understood: {why}", R::MANY));
    }
    table
}

/// The record with this id, in whichever table it stands.
pub(super) fn by_id<'t, R: Record>(tables: &'t [Arc<RecordTable<R>>], id: &str) -> Option<(StoreNumber, &'t Arc<R>)> {
    tables.iter().enumerate().find_map(|(number, table)| table.get(id).map(|record| (number, record)))
}

/// As [`RecordTable::resolve`], in several tables.
pub(super) fn resolve<'t, R: Record>(
    tables: &'t [Arc<RecordTable<R>>],
    wanted: &str,
    operation: &'static str,
) -> Result<(StoreNumber, &'t Arc<R>)> {
    let unknown = || match tables.first() {
        Some(own) => own.unknown(wanted, operation),
        None => Error::new(R::UNKNOWN, operation),
    };
    find(tables, wanted).ok_or_else(unknown)
}

impl Sight {
    /// The layer called `wanted` and the store that has it. Fails with [`Kind::LayerUnknown`].
    pub fn layer(&self, wanted: &str, operation: &'static str) -> Result<(StoreNumber, &Arc<Layer>)> {
        resolve(&self.layers, wanted, operation).map_err(|error| self.or_unread(error))
    }

    /// The image called `wanted` and the store that has it. Fails with [`Kind::ImageUnknown`].
    pub fn image(&self, wanted: &str, operation: &'static str) -> Result<(StoreNumber, &Arc<Image>)> {
        resolve(&self.images, wanted, operation).map_err(|error| self.or_unread(error))
    }

    /// Says in `error`, that something wasn't found, where it might stand.
    pub(super) fn or_unread(&self, error: Error) -> Error {
        if self.unread.is_empty() { error } else { error.detail(self.unread.join("; ")) }
    }

    /// The container called `wanted`, or whose layer that is. Fails with [`Kind::ContainerUnknown`].
    pub fn container(&self, wanted: &str, operation: &'static str) -> Result<&Arc<Container>> {
        self.containers.resolve(wanted, operation)
    }

    /// What is called `wanted`, and the store that has it: a layer, else an image, else a container. Fails with
    /// [`Kind::NotAnId`].
    pub fn item(&self, wanted: &str, operation: &'static str) -> Result<(StoreNumber, Item)> {
        self.first_of(&[ItemKind::Layer, ItemKind::Image, ItemKind::Container], wanted, operation)
    }

    /// What is called `wanted`, and the store that has it, where a kind that stands earlier in `kinds` is preferred; but an id
    /// or a name of any of them goes before the beginning of an id. Fails with [`Kind::NotAnId`].
    pub fn first_of(&self, kinds: &[ItemKind], wanted: &str, operation: &'static str) -> Result<(StoreNumber, Item)> {
        let exact = kinds.iter().copied().filter(|kind| self.is_exact(*kind, wanted));
        for kind in exact.chain(kinds.iter().copied()) {
            if let Ok(found) = self.item_of(kind, wanted, operation) {
                return Ok(found);
            }
        }
        let unknown = Error::new(Kind::NotAnId, operation)
            .detail(format!("no layer, image or container is called {wanted:?}"))
            .remedy("`lamina layers`, `lamina images` and `lamina containers` list them");
        Err(self.or_unread(unknown))
    }

    fn is_exact(&self, kind: ItemKind, wanted: &str) -> bool {
        match kind {
            ItemKind::Layer => self.layers.iter().any(|table| table.find_exact(wanted).is_some()),
            ItemKind::Image => self.images.iter().any(|table| table.find_exact(wanted).is_some()),
            ItemKind::Container => self.containers.find_exact(wanted).is_some(),
        }
    }

    /// As [`Sight::item`], for what is looked up by its name: fails with [`Kind::LayerUnknown`], as the reference does, whatever
    /// it was meant to be.
    pub fn named(&self, wanted: &str, operation: &'static str) -> Result<(StoreNumber, Item)> {
        self.item(wanted, operation).map_err(|_| {
            Error::new(Kind::LayerUnknown, operation)
                .detail(format!("no layer, image or container is called {wanted:?}"))
                .remedy("`lamina layers`, `lamina images` and `lamina containers` list them")
        })
    }

    /// What of the kind `kind` is called `wanted`, and the store that has it.
    pub fn item_of(&self, kind: ItemKind, wanted: &str, operation: &'static str) -> Result<(StoreNumber, Item)> {
        Ok(match kind {
            ItemKind::Layer => {
                let (number, layer) = self.layer(wanted, operation)?;
                (number, Item::Layer(Arc::clone(layer)))
            }
            ItemKind::Image => {
                let (number, image) = self.image(wanted, operation)?;
                (number, Item::Image(Arc::clone(image)))
            }
            ItemKind::Container => (0, Item::Container(Arc::clone(self.container(wanted, operation)?))),
        })
    }

    /// The layer of the store `number` and those below it, in whichever stores they stand.
    pub fn layer_ref(&self, number: StoreNumber, layer: &Layer) -> Result<LayerRef> {
        layer_ref(number, layer, |id| self.layer_by_id(id).map(|(number, layer)| (number, Arc::clone(layer))))
    }

    /// The layer with this id, in whichever store it stands.
    pub fn layer_by_id(&self, id: &str) -> Option<(StoreNumber, &Arc<Layer>)> {
        by_id(&self.layers, id)
    }
}

impl Store {
    /// All records of the store and its additional stores. Takes no lock: each file is one moment, not all together.
    pub fn sight(&self) -> Result<Sight> {
        let mut sight = Sight {
            layers: vec![self.layers()?],
            images: vec![self.images.snapshot()?],
            containers: self.containers.snapshot()?,
            unread: Vec::new(),
        };
        self.add_additional(&mut sight);
        Ok(sight)
    }

    /// As [`Store::sight`], but only the layers are read: what is damaged elsewhere keeps nobody from them.
    pub(super) fn layer_sight(&self) -> Result<Sight> {
        let mut sight =
            Sight { layers: vec![self.layers()?], images: Vec::new(), containers: Arc::default(), unread: Vec::new() };
        for store in &self.additional {
            sight.layers.push(or_empty(store.layers(), &mut sight.unread));
        }
        Ok(sight)
    }

    /// As [`Store::sight`], for whoever looks for something of the kind `kind`.
    pub(super) fn sight_of(&self, kind: ItemKind) -> Result<Sight> {
        match kind {
            ItemKind::Layer => self.layer_sight(),
            ItemKind::Image | ItemKind::Container => self.sight(),
        }
    }

    /// Whether a layer of this store has exactly this id or name: then nothing else needs to be looked at.
    pub(super) fn is_own_layer(&self, wanted: &str) -> Result<bool> {
        Ok(self.layers()?.find_exact(wanted).is_some())
    }

    /// All records of the store at one moment. Holds `layers.lock`, `images.lock` and `containers.lock` shared, in order;
    /// additional stores are read by snapshot.
    pub fn consistent_sight(&self, key: &mut ThreadKey) -> Result<Sight> {
        let _purpose = crate::record::purpose("consistent sight");
        let (layers, mut key) = self.layers.read(key, &self.wait)?;
        let (images, mut key) = self.images.read(&mut key, &self.wait)?;
        let (containers, _key) = self.containers.read(&mut key, &self.wait)?;
        let mut sight = Sight {
            layers: vec![Arc::clone(layers.table())],
            images: vec![Arc::clone(images.table())],
            containers: Arc::clone(containers.table()),
            unread: Vec::new(),
        };
        self.add_additional(&mut sight);
        Ok(sight)
    }

    fn add_additional(&self, sight: &mut Sight) {
        for store in &self.additional {
            sight.layers.push(or_empty(store.layers(), &mut sight.unread));
            sight.images.push(or_empty(store.images(), &mut sight.unread));
        }
    }

    /// A layer of this store and those below it, some of which may stand in additional stores. `own` are the store's own
    /// layers, as the caller holds them.
    pub(super) fn layer_ref(&self, own: &LayerTable, layer: &Layer) -> Result<LayerRef> {
        self.layer_ref_in(own, 0, layer)
    }

    /// As [`Store::layer_ref`], of a layer of the store `number`. Additional stores are asked only for what isn't here.
    pub(super) fn layer_ref_in(&self, own: &LayerTable, number: StoreNumber, layer: &Layer) -> Result<LayerRef> {
        layer_ref(number, layer, |id| self.search(own, |table| table.get(id)))
    }

    /// The layer called `wanted`, and the store that has it. `own` are the store's own layers, as the caller holds them.
    pub(super) fn find_layer(&self, own: &LayerTable, wanted: &str) -> Option<(StoreNumber, Arc<Layer>)> {
        self.search(own, |table| table.find(wanted))
    }

    fn search(
        &self,
        own: &LayerTable,
        find: impl Fn(&LayerTable) -> Option<&Arc<Layer>>,
    ) -> Option<(StoreNumber, Arc<Layer>)> {
        if let Some(layer) = find(own) {
            return Some((0, Arc::clone(layer)));
        }
        (1..).zip(&self.additional).find_map(|(number, store)| {
            let layers = store.layers().unwrap_or_default();
            find(&layers).map(|layer| (number, Arc::clone(layer)))
        })
    }

    /// The tables in which the layers called `wanted` and all that they stand on are found: the store's own, as the caller
    /// has it, and unless that is enough those of its additional stores.
    pub(super) fn layer_tables<'w>(
        &self,
        own: &Arc<LayerTable>,
        wanted: impl IntoIterator<Item = &'w str>,
    ) -> Vec<Arc<LayerTable>> {
        let mut tables = vec![Arc::clone(own)];
        if !wanted.into_iter().all(|wanted| is_whole(own, wanted)) {
            tables.extend(self.additional.iter().map(|store| store.layers().unwrap_or_default()));
        }
        tables
    }
}

/// Whether the layer called `wanted` is in `own` with all that it stands on.
fn is_whole(own: &LayerTable, wanted: &str) -> bool {
    let find = |id: &str| Some((0, Arc::clone(own.get(id)?)));
    own.find(wanted).is_some_and(|layer| layer_ref(0, layer, find).is_ok())
}
