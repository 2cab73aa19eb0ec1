//! Making a layer: whole in staging, then in place by renames, under one record.

use super::Store;
use super::import::{Content, Filled};
use super::intent::Intent;
use super::layers::{Edit, Layer, LayerTable, json};
use super::options::Durability;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use crate::driver::{Home, LayerRef, Plan, Start};
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::{ThreadKey, World};
use crate::task::Task;

/// What a new layer is to be.
#[derive(Clone, Debug, Default)]
pub struct NewLayer {
    /// Its id; one is made when there is none.
    pub id: Option<LayerId>,
    /// Its parent: an id, a name, or the beginning of one id.
    pub parent: Option<String>,
    /// Its names, which nobody else may have.
    pub names: Vec<String>,
    /// The `SELinux` label of its mounts.
    pub mount_label: String,
    /// Nobody will mount it for writing.
    pub read_only: bool,
    /// Options for the driver.
    pub options: Vec<(String, String)>,
}

impl Store {
    /// Makes an empty layer, or one that shows what its parent does.
    ///
    /// The work happens in staging, without a store lock; `layers.lock` is held shared to begin and exclusive to commit. Fails
    /// with [`Kind::DuplicateId`], [`Kind::DuplicateName`] or [`Kind::ParentUnknown`]; on any failure the store is as before.
    pub fn create_layer(&self, key: &mut ThreadKey, new: &NewLayer, task: &Task) -> Result<Layer> {
        self.make(key, new, Content::None, task).map(|(layer, _)| layer)
    }

    /// Makes a layer with `content`; returns it with the size of its uncompressed archive, -1 when there was none.
    pub(super) fn make(
        &self,
        key: &mut ThreadKey,
        new: &NewLayer,
        content: Content<'_>,
        task: &Task,
    ) -> Result<(Layer, i64)> {
        let id = match &new.id {
            Some(id) => id.clone(),
            None => LayerId::random()?,
        };
        let (parent, staged) = {
            let (guard, _key) = self.layers.read(key, &self.wait)?;
            self.check_new(guard.table(), &id, new)?;
            let parent = self.find_parent(guard.table(), new)?;
            let mut plan = Plan::new(Start::OnParent(parent.clone()));
            plan.writable = !new.read_only;
            plan.options.clone_from(&new.options);
            plan.mount_label.clone_from(&new.mount_label);
            (parent, self.gate.shared(&guard.shared())?.begin(&plan)?)
        };
        let mut filled = self.fill(staged, content, task)?;
        task.step(0, 0)?;
        let mut rubbish = Rubbish::of(self);
        let (mut guard, _key) = self.write_layers(key, &mut rubbish)?;
        self.check_new(guard.table(), &id, new)?;
        if let Some(parent) = &parent {
            self.check_still_parent(guard.table(), parent)?;
        }
        let mut layer = Layer {
            id: id.to_string(),
            names: unique(&new.names),
            parent: parent.map(|parent| parent.id.to_string()).unwrap_or_default(),
            mount_label: new.mount_label.clone(),
            created: json::now(),
            ..Layer::default()
        };
        let size = filled.describe(&mut layer);
        self.commit_new(&mut guard, &id, &mut filled, &layer, &mut rubbish)?;
        Ok((layer, size))
    }

    /// Puts the parts in place and saves the record; on failure takes out again what it put there.
    fn commit_new(
        &self,
        guard: &mut LayersGuard<'_>,
        id: &LayerId,
        filled: &mut Filled,
        layer: &Layer,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        // Somebody else's parts under this id are neither overwritten nor, by the recovery of an intent, thrown away.
        let taken =
            self.gate.shared(&guard.shared())?.exists(id, Home::Own)? || self.tar_split_path(id.as_str()).exists();
        if taken {
            return Err(Error::new(Kind::DuplicateId, "create layer")
                .at(&self.graph_root)
                .detail(format!("there are parts of a layer {id} that no record here knows"))
                .remedy("choose another id; `lamina gc` collects what nobody uses"));
        }
        self.say(&Intent::Create { id: id.to_string() })?;
        let placed = self.place(guard, id, filled).and_then(|()| {
            let mut edit = Edit::of(guard.table());
            edit.push(layer.clone());
            let (table, changed) = edit.finish();
            guard.save(table, &changed)
        });
        if placed.is_err() && guard.table().get(id.as_str()).is_none() {
            // What can't be taken out now is named by the intent, for the next writer.
            self.discard_parts(guard, id, rubbish).and_then(|()| self.said_and_done()).or(Ok(()))?;
            return placed;
        }
        self.flush_names(guard)?;
        self.said_and_done()?;
        placed
    }

    fn place(&self, guard: &mut LayersGuard<'_>, id: &LayerId, filled: &mut Filled) -> Result<()> {
        if let Some(tar_split) = &filled.tar_split {
            tar_split.place.move_out(&tar_split.name, &self.tar_split_path(id.as_str()))?;
        }
        self.gate.exclusive(&mut guard.exclusive())?.commit(&mut *filled.staged, id)?;
        if self.durability != Durability::None {
            self.gate
                .name_directories(Home::Own)
                .iter()
                .try_for_each(|directory| guard.world().flush_directory(directory))?;
        }
        Ok(())
    }

    /// Makes the new name of `layers.json` survive power loss, where that was asked for.
    pub(super) fn flush_names(&self, guard: &LayersGuard<'_>) -> Result<()> {
        if self.durability == Durability::Strict { guard.world().flush_directory(&self.layers_home()) } else { Ok(()) }
    }

    /// Whether the id and the names of a new layer are free.
    fn check_new(&self, table: &LayerTable, id: &LayerId, new: &NewLayer) -> Result<()> {
        let failed = |kind, detail| Error::new(kind, "create layer").at(&self.graph_root).detail(detail);
        if table.get(id.as_str()).is_some() {
            return Err(failed(Kind::DuplicateId, format!("a layer with id {id} exists"))
                .remedy("leave the id out to have one made, or delete that layer first"));
        }
        for name in &new.names {
            check_name(name)?;
            if let Some(owner) = table.iter().find(|layer| layer.names.contains(name)) {
                return Err(failed(Kind::DuplicateName, format!("layer {} is called {name:?}", owner.id))
                    .remedy("choose another name, or take it from that layer with `remove-names`"));
            }
        }
        Ok(())
    }

    /// The parent that was asked for: resolved once, when the layer begins.
    fn find_parent(&self, table: &LayerTable, new: &NewLayer) -> Result<Option<LayerRef>> {
        let Some(wanted) = new.parent.as_deref().filter(|parent| !parent.is_empty()) else { return Ok(None) };
        let parent = table.find(wanted).ok_or_else(|| self.no_parent(wanted))?;
        self.check_not_container(parent)?;
        table.layer_ref(parent).map(Some)
    }

    /// Whether the layer that the content was made on is still there, on the same layers.
    fn check_still_parent(&self, table: &LayerTable, parent: &LayerRef) -> Result<()> {
        let record = table.get(parent.id.as_str()).ok_or_else(|| self.no_parent(parent.id.as_str()))?;
        self.check_not_container(record)?;
        if table.layer_ref(record)? == *parent {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "create layer")
            .at(&self.graph_root)
            .detail(format!("the parent {} was made anew meanwhile", parent.id))
            .remedy("try again"))
    }

    fn no_parent(&self, wanted: &str) -> Error {
        Error::new(Kind::ParentUnknown, "create layer")
            .at(&self.graph_root)
            .detail(format!("no layer is called {wanted:?}"))
            .remedy("`lamina layers` lists the layers")
    }
}

/// A name that a layer can have: not empty, one line.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains(|character: char| character.is_control()) {
        return Err(Error::new(Kind::Usage, "check name")
            .detail(format!("{name:?} can't be a name"))
            .remedy("use a name of one line, not empty"));
    }
    Ok(())
}

/// `names` without repetitions, in their order.
pub(super) fn unique(names: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect()
}
