//! Making a layer: whole in staging, then in place by renames, under one record.

use super::Store;
use super::import::{Content, Filled};
use super::intent::{Intent, Said};
use super::layers::{Layer, LayerTable};
use super::options::Durability;
use super::records::{Edit, Location, json};
use super::recovery::{LayersGuard, PartsOf};
use super::rubbish::Rubbish;
use crate::driver::{Home, LayerRef, Plan, Staged, Start};
use crate::error::{Error, Kind, Result};
use crate::idmap::{IdMap, Maps};
use crate::ids::LayerId;
use crate::locks::changes::put;
use crate::locks::level::{Layers, Level};
use crate::locks::{Kernel, MayTake, Table, ThreadKey, World, WriteGuard};
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
    /// With whose owners its files are kept.
    pub owners: Owners,
    /// The `SELinux` label of its mounts.
    pub mount_label: String,
    /// Nobody will mount it for writing.
    pub read_only: bool,
    /// Options for the driver.
    pub options: Vec<(String, String)>,
}

/// With which maps of ids the files of a new layer are kept: users and groups apart. Where the driver can show owners
/// mapped, it keeps them without maps, whatever is given, so that mounts under any maps can show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Users.
    pub users: Ids,
    /// Groups.
    pub groups: Ids,
}

/// One half of [`Owners`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// With the map of the parent; without any, when there is none.
    #[default]
    AsParent,
    /// Without a map: as they are inside.
    Host,
    /// With this.
    Mapped(Vec<IdMap>),
}

impl Owners {
    /// With `maps`; without any, when they are none.
    pub fn mapped(maps: &Maps) -> Self {
        Owners { users: Ids::Mapped(maps.uids.clone()), groups: Ids::Mapped(maps.gids.clone()) }
    }

    /// The maps of a layer on a parent with the maps `parent`.
    fn on(&self, parent: &Maps) -> Maps {
        Maps { uids: self.users.on(&parent.uids), gids: self.groups.on(&parent.gids) }
    }
}

impl Ids {
    fn on(&self, parent: &[IdMap]) -> Vec<IdMap> {
        match self {
            Ids::AsParent => parent.to_vec(),
            Ids::Host => Vec::new(),
            Ids::Mapped(map) => map.clone(),
        }
    }
}

/// What becomes of the maps that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keep {
    /// The files are kept without, where the driver can show owners mapped.
    #[default]
    AsDriverCan,
    /// The files are kept with them.
    AsAsked,
}

/// What a new layer is to the one that it is made on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Its child.
    #[default]
    Child,
    /// The same with other owners: by the records, as by those of the reference, it has the same parent.
    Copy,
}

/// When a layer in the making learns its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParentComes {
    /// When it is begun.
    First,
    /// When it is filled, by [`Store::settle`].
    Late,
}

/// A new layer between its plan and its commit.
#[derive(Debug)]
pub(super) struct LayerPlan<'n> {
    pub(super) id: LayerId,
    pub(super) new: &'n NewLayer,
    pub(super) location: Location,
    /// The time of its record; that of the commit when it isn't said.
    pub(super) created: Option<String>,
    /// What is said before anything is put in place.
    pub(super) intent: Intent,
    parent: Option<LayerRef>,
    parent_maps: Maps,
    maps: Maps,
    pub(super) keep: Keep,
    pub(super) role: Role,
}

impl LayerPlan<'_> {
    /// Which home of the driver the layer will stand in.
    fn home(&self) -> Home {
        if self.location == Location::ImageStore { Home::ImageStore } else { Home::Own }
    }
}

impl LayerPlan<'_> {
    /// The parent that its record names.
    fn recorded_parent(&self) -> String {
        let id = match (&self.parent, self.role) {
            (None, _) => None,
            (Some(parent), Role::Child) => Some(&parent.id),
            (Some(parent), Role::Copy) => parent.ancestors.first().map(|below| &below.id),
        };
        id.map(ToString::to_string).unwrap_or_default()
    }

    /// Whether it has yet to learn its parent.
    pub(super) fn is_without_parent(&self) -> bool {
        self.parent.is_none() && self.new.parent.is_some()
    }
}

impl Store {
    /// Makes an empty layer, or one that shows what its parent does.
    ///
    /// The work happens in staging, without a store lock; `layers.lock` is held shared to begin and exclusive to commit. Fails
    /// with [`Kind::DuplicateId`], [`Kind::DuplicateName`] or [`Kind::ParentUnknown`]; on any failure the store is as before.
    pub fn create_layer(&self, key: &mut ThreadKey, new: &NewLayer, task: &Task) -> Result<Layer> {
        let _purpose = crate::record::purpose("create layer");
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
        let mut plan = self.plan_layer(new)?;
        let mut filled = self.begin_and_fill(key, &mut plan, content, task)?;
        let mut rubbish = Rubbish::of(self);
        let (mut guard, _key) = self.write_layers(key, &mut rubbish)?;
        let layer = self.commit_planned(&mut guard, &plan, &mut filled, &mut rubbish)?;
        self.said_and_done()?;
        Ok((layer, filled.size()))
    }

    /// What is known of a new layer before anything is done.
    pub(super) fn plan_layer<'n>(&self, new: &'n NewLayer) -> Result<LayerPlan<'n>> {
        let id = new.id.clone().map_or_else(LayerId::random, Ok)?;
        let location = match (self.places.transient, new.read_only) {
            (true, false) => Location::Volatile,
            (_, true) => self.places.images_go_to(),
            (false, false) => Location::Stable,
        };
        new.owners.on(&Maps::NONE).check()?;
        let intent = Intent::Create { id: id.to_string() };
        Ok(LayerPlan {
            intent,
            id,
            new,
            location,
            created: None,
            parent: None,
            parent_maps: Maps::NONE,
            maps: Maps::NONE,
            keep: Keep::default(),
            role: Role::default(),
        })
    }

    /// Makes the layer whole in staging. Holds `layers.lock` shared to begin.
    pub(super) fn begin_and_fill(
        &self,
        key: &mut impl MayTake<Layers>,
        planned: &mut LayerPlan<'_>,
        content: Content<'_>,
        task: &Task,
    ) -> Result<Filled> {
        let staged = self.begin(key, planned, ParentComes::First)?;
        let filled = self.fill(staged, content, task)?;
        task.step(0, 0)?;
        Ok(filled)
    }

    /// Begins the layer in staging. Holds `layers.lock` shared.
    pub(super) fn begin(
        &self,
        key: &mut impl MayTake<Layers>,
        planned: &mut LayerPlan<'_>,
        parent: ParentComes,
    ) -> Result<Box<dyn Staged>> {
        let as_driver_can = planned.keep == Keep::AsDriverCan && planned.new.owners != Owners::default();
        // Asked before the lock is taken: it may have to be tried out.
        let unmapped = as_driver_can && self.shows_owners_mapped();
        if !planned.new.options.is_empty() {
            self.gate.capabilities();
        }
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        self.check_new(guard.table(), &planned.id, planned.new)?;
        if parent == ParentComes::First {
            self.adopt_parent(guard.table(), planned)?;
        }
        planned.maps = if unmapped { Maps::NONE } else { planned.new.owners.on(&planned.parent_maps) };
        let mut plan = Plan::new(Start::OnParent(planned.parent.clone()));
        plan.home = planned.home();
        plan.maps = planned.maps.clone();
        plan.parent_maps.clone_from(&planned.parent_maps);
        plan.writable = !planned.new.read_only;
        plan.options.clone_from(&planned.new.options);
        plan.mount_label.clone_from(&planned.new.mount_label);
        self.gate.shared(&guard.shared())?.begin(&plan)
    }

    /// Puts what was begun without its parent on it, which is there now, and flushes it. Holds `layers.lock` shared for a
    /// moment.
    pub(super) fn settle(
        &self,
        key: &mut impl MayTake<Layers>,
        planned: &mut LayerPlan<'_>,
        filled: &mut Filled,
    ) -> Result<()> {
        {
            let (guard, _key) = self.layers.read(key, &self.wait)?;
            self.adopt_parent(guard.table(), planned)?;
            if let Some(parent) = &planned.parent {
                let root = filled.root_owner();
                self.gate.shared(&guard.shared())?.settle(&mut *filled.staged, parent, root)?;
            }
        }
        self.flush(&*filled.staged)
    }

    /// Finds the parent that was asked for.
    fn adopt_parent(&self, table: &LayerTable, planned: &mut LayerPlan<'_>) -> Result<()> {
        if let Some((parent, maps)) = self.find_parent(table, planned.new)? {
            planned.parent = Some(parent);
            planned.parent_maps = maps;
        }
        Ok(())
    }

    /// Puts a layer in place and saves its record. On success the intent still stands: the caller says when all is done.
    pub(super) fn commit_planned(
        &self,
        guard: &mut LayersGuard<'_>,
        planned: &LayerPlan<'_>,
        filled: &mut Filled,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<Layer> {
        let new = planned.new;
        self.check_new(guard.table(), &planned.id, new)?;
        if let Some(parent) = &planned.parent {
            self.check_still_parent(guard.table(), parent, &planned.parent_maps)?;
        }
        let mut layer = Layer {
            id: planned.id.to_string(),
            names: unique(&new.names),
            parent: planned.recorded_parent(),
            mount_label: new.mount_label.clone(),
            created: planned.created.clone().unwrap_or_else(json::now),
            uid_map: planned.maps.uids.clone(),
            gid_map: planned.maps.gids.clone(),
            location: planned.location,
            ..Layer::default()
        };
        filled.describe(&mut layer);
        self.commit_new(guard, planned, filled, &layer, rubbish)?;
        Ok(layer)
    }

    /// Puts the parts in place and saves the record; on failure takes out again what it put there.
    fn commit_new(
        &self,
        guard: &mut LayersGuard<'_>,
        planned: &LayerPlan<'_>,
        filled: &mut Filled,
        layer: &Layer,
        rubbish: &mut Rubbish<'_>,
    ) -> Result<()> {
        let id = &planned.id;
        // Somebody else's parts under this id are neither overwritten nor, by the recovery of an intent, thrown away.
        let mut taken = self.tar_split_path(id.as_str()).exists();
        for home in self.places.homes() {
            taken |= self.gate.shared(&guard.shared())?.exists(id, home)?;
        }
        if taken {
            return Err(Error::new(Kind::DuplicateId, "create layer")
                .at(&self.places.graph_root)
                .detail(format!("there are parts of a layer {id} that no record here knows"))
                .remedy("choose another id; `lamina gc` collects what nobody uses"));
        }
        let (words, said) = (self.words(), Said::of(&planned.intent));
        let place = |_: &mut PartsOf<'_, '_>, guard: &mut LayersGuard<'_>| self.place(guard, planned, filled);
        put(guard, (&words, &said), id.as_str(), &mut PartsOf { store: self, rubbish }, place, |table| {
            let mut edit = Edit::of(table);
            edit.push(layer.clone());
            edit.finish()
        })
    }

    fn place(&self, guard: &mut LayersGuard<'_>, planned: &LayerPlan<'_>, filled: &mut Filled) -> Result<()> {
        let id = &planned.id;
        if let Some(tar_split) = &filled.tar_split {
            tar_split.place.move_out(&tar_split.name, &self.tar_split_path(id.as_str()))?;
        }
        // Asked first: a driver that has no answer makes no layer.
        let flushed = match self.durability {
            Durability::None => Vec::new(),
            _ => self.gate.name_directories(planned.home())?,
        };
        self.gate.exclusive(&mut guard.exclusive())?.commit(&mut *filled.staged, id)?;
        flushed.iter().try_for_each(|directory| guard.world().flush_directory(directory))
    }

    /// Makes the new names of a level's files survive power loss, where that was asked for.
    pub(super) fn flush_names<L: Level, T: Table>(&self, guard: &WriteGuard<'_, L, T, Kernel>) -> Result<()> {
        if self.durability == Durability::Strict { guard.flush_names() } else { Ok(()) }
    }

    /// Whether the id and the names of a new layer are free.
    fn check_new(&self, table: &LayerTable, id: &LayerId, new: &NewLayer) -> Result<()> {
        let failed = |kind, detail| Error::new(kind, "create layer").at(&self.places.graph_root).detail(detail);
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
    fn find_parent(&self, table: &LayerTable, new: &NewLayer) -> Result<Option<(LayerRef, Maps)>> {
        let Some(wanted) = new.parent.as_deref().filter(|parent| !parent.is_empty()) else { return Ok(None) };
        let (number, parent) = self.find_layer(table, wanted).ok_or_else(|| self.no_parent(wanted))?;
        self.check_not_container(&parent)?;
        Ok(Some((self.layer_ref_in(table, number, &parent)?, parent.maps())))
    }

    /// Whether the layer that the content was made on is still there, on the same layers.
    fn check_still_parent(&self, table: &LayerTable, parent: &LayerRef, maps: &Maps) -> Result<()> {
        let id = parent.id.as_str();
        let (number, record) = self.find_layer(table, id).ok_or_else(|| self.no_parent(id))?;
        self.check_not_container(&record)?;
        if self.layer_ref_in(table, number, &record)? == *parent && record.maps() == *maps {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "create layer")
            .at(&self.places.graph_root)
            .detail(format!("the parent {} was made anew meanwhile", parent.id))
            .remedy("try again"))
    }

    fn no_parent(&self, wanted: &str) -> Error {
        let unknown = Error::new(Kind::ParentUnknown, "create layer")
            .at(&self.places.graph_root)
            .detail(format!("no layer is called {wanted:?}"))
            .remedy("`lamina layers` lists the layers");
        match self.sight() {
            Ok(sight) => sight.or_unread(unknown),
            Err(_) => unknown,
        }
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
