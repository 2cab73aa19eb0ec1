//! Making a container: its layer and its record, under one intent.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::record::{MOUNT_LABEL, MOUNT_OPTIONS, PROCESS_LABEL, VOLATILE};
use super::{Container, ContainerTable};
use crate::error::{Error, Kind, Result};
use crate::idmap::Maps;
use crate::ids::LayerId;
use crate::locks::level::Layers;
use crate::locks::{MayTake, ThreadKey};
use crate::store::create::{Keep, Owners, check_name, unique};
use crate::store::images::NewData;
use crate::store::import::Content;
use crate::store::intent::Intent;
use crate::store::kept::Kept;
use crate::store::mapping::Base;
use crate::store::records::{Edit, Location, json};
use crate::store::rubbish::Rubbish;
use crate::store::{Image, ItemKind, Mapping, NewLayer, Store, StoreNumber};
use crate::task::Task;

/// What a new container is to be.
#[derive(Clone, Debug, Default)]
pub struct NewContainer {
    /// Its id; one is made when there is none.
    pub id: Option<LayerId>,
    /// Its names, which no other container may have.
    pub names: Vec<String>,
    /// The image that it is made from: an id, a name, or the beginning of one id. None for an empty root filesystem.
    pub image: Option<String>,
    /// The id of its layer; one is made when there is none.
    pub layer: Option<LayerId>,
    /// Text that belongs to the user.
    pub metadata: String,
    /// What is written in it may be lost when the machine stops, and so may its record.
    pub volatile: bool,
    /// The `SELinux` label of its processes.
    pub process_label: String,
    /// The `SELinux` label of its mounts.
    pub mount_label: String,
    /// Options with which its layer is mounted.
    pub mount_options: Vec<String>,
    /// With which ids it sees its files.
    pub mapping: Mapping,
    /// Options for the driver (`size=10G`).
    pub options: Vec<(String, String)>,
    /// Big data that it has from the start.
    pub data: Vec<NewData>,
    /// Further flags.
    pub flags: Map<String, Value>,
}

impl NewContainer {
    /// Fails when one of the two labels is given without the other.
    fn check_labels(&self) -> Result<()> {
        if self.process_label.is_empty() == self.mount_label.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Usage, "create container")
            .detail("the labels of processes and of mounts must either not be specified or both be specified")
            .remedy("give both labels, or none"))
    }

    /// The record, but for what is known only under the locks.
    fn record(&self, id: &LayerId, image: &str, location: Location) -> Container {
        let mut flags = self.flags.clone();
        flags.insert(PROCESS_LABEL.to_owned(), self.process_label.clone().into());
        flags.insert(MOUNT_LABEL.to_owned(), self.mount_label.clone().into());
        if !self.mount_options.is_empty() {
            flags.insert(MOUNT_OPTIONS.to_owned(), self.mount_options.clone().into());
        }
        if self.volatile {
            flags.insert(VOLATILE.to_owned(), true.into());
        }
        Container {
            id: id.to_string(),
            names: unique(&self.names),
            image: image.to_owned(),
            metadata: self.metadata.clone(),
            created: json::now(),
            flags,
            location,
            ..Container::default()
        }
    }
}

/// What a new container stands on.
struct Ground {
    source: Option<(StoreNumber, Arc<Image>)>,
    base: Base,
    maps: Maps,
}

impl Store {
    /// Makes a container: a layer on the image's top layer, and the record.
    ///
    /// The layer is made in staging; `layers.lock` and `containers.lock` are held exclusively to commit both, and `userns.lock`
    /// around all of it for a container with ids of its own. A copy of the image's top layer with its owners, where the driver
    /// can't show them mapped, is made before any lock is taken, but for ids that are chosen here: then `userns.lock`, for
    /// which only such containers wait, is held. Fails with [`Kind::ImageUnknown`], [`Kind::DuplicateId`],
    /// [`Kind::DuplicateName`] or [`Kind::NoAvailableIds`]; on any failure, a death included, no layer without its container
    /// is left.
    pub fn create_container(&self, key: &mut ThreadKey, new: &NewContainer, task: &Task) -> Result<Arc<Container>> {
        let _purpose = crate::record::purpose("create container");
        new.names.iter().try_for_each(|name| check_name(name))?;
        new.check_labels()?;
        let source = match new.image.as_deref().filter(|image| !image.is_empty()) {
            None => None,
            Some(wanted) => {
                let sight = self.sight()?;
                let (number, image) = sight.image(wanted, "create container")?;
                // Another's store may call an image what no image here could be called.
                LayerId::from_store(&image.id)?;
                Some((number, Arc::clone(image)))
            }
        };
        match &new.mapping {
            Mapping::Host => {
                let base = self.base_for(key, source.as_ref(), &Maps::NONE, task)?;
                self.make_container(key, new, &Ground { source, base, maps: Maps::NONE }, task)
            }
            Mapping::Mapped(maps) => {
                maps.check()?;
                let base = self.base_for(key, source.as_ref(), maps, task)?;
                let (_held, mut key) = self.user_namespaces.write(key, &self.wait)?;
                self.make_container(&mut key, new, &Ground { source, base, maps: maps.clone() }, task)
            }
            Mapping::Auto(auto) => {
                let (_held, mut key) = self.user_namespaces.write(key, &self.wait)?;
                let maps = self.choose_maps(&mut key, auto, source.as_ref())?;
                let base = self.base_for(&mut key, source.as_ref(), &maps, task)?;
                self.make_container(&mut key, new, &Ground { source, base, maps }, task)
            }
        }
    }

    fn make_container(
        &self,
        key: &mut impl MayTake<Layers>,
        new: &NewContainer,
        ground: &Ground,
        task: &Task,
    ) -> Result<Arc<Container>> {
        let id = new.id.clone().map_or_else(LayerId::random, Ok)?;
        let location =
            if new.volatile { self.places.volatile_containers_go_to() } else { self.places.containers_go_to() };
        let image = ground.source.as_ref().map(|(_, image)| image.id.clone()).unwrap_or_default();
        let mut container = new.record(&id, &image, location);
        container.uid_map.clone_from(&ground.maps.uids);
        container.gid_map.clone_from(&ground.maps.gids);
        check_free(&*self.containers.snapshot()?, &container)?;
        let layer = NewLayer {
            id: new.layer.clone(),
            parent: ground.base.layer.clone(),
            owners: Owners::mapped(&ground.base.kept),
            mount_label: new.mount_label.clone(),
            options: new.options.clone(),
            ..NewLayer::default()
        };
        let mut plan = self.plan_layer(&layer)?;
        plan.location = location;
        plan.keep = Keep::AsAsked;
        container.layer = plan.id.to_string();
        let side = container.side_places(self);
        let staged = self.stage_data(&side, &new.data)?;
        if let Some(staged) = &staged {
            staged.describe(&mut container);
        }
        plan.intent =
            Intent::CreateFor { owner: ItemKind::Container, id: container.id.clone(), layer: container.layer.clone() };
        let mut filled = self.begin_and_fill(key, &mut plan, Content::None, task)?;

        let mut rubbish = Rubbish::of(self);
        let (mut layers, mut key) = self.write_layers(key, &mut rubbish)?;
        if !image.is_empty() && !self.sight()?.images.iter().any(|images| images.get(&image).is_some()) {
            return Err(Error::new(Kind::ImageUnknown, "create container")
                .detail(format!("image {image} was deleted meanwhile")));
        }
        let record = self.commit_planned(&mut layers, &plan, &mut filled, &mut rubbish)?;
        let saved = (|| {
            let (mut guard, _key) = Container::write(self, &mut key, &mut rubbish)?;
            check_free(guard.table(), &container)?;
            let home = container.directory(self)?;
            if let Some(staged) = &staged {
                staged.put(&home, &side, &mut rubbish)?;
            }
            let mut edit = Edit::of(guard.table());
            edit.push(container.clone());
            let saved = self.save_edit(&mut guard, edit);
            if let Some(made) = guard.table().get(&container.id) {
                return Ok((Arc::clone(made), saved));
            }
            if staged.is_some() {
                rubbish.add(Box::new(side.trash(&home)?));
            }
            saved.and_then(|()| Err(guard.table().unknown(&container.id, "create container")))
        })();
        match saved {
            Ok((made, saved)) => {
                self.said_and_done()?;
                saved.map(|()| made)
            }
            Err(error) => {
                // What can't be taken back now is named by the intent, for the next writer.
                let _ = self.forget_layers(&mut layers, &[record.layer_id()?], &mut rubbish);
                Err(error)
            }
        }
    }
}

/// Whether the id and the names of a new container are free.
fn check_free(table: &ContainerTable, container: &Container) -> Result<()> {
    let failed = |kind, detail: String| Error::new(kind, "create container").detail(detail);
    if table.get(&container.id).is_some() {
        return Err(failed(Kind::DuplicateId, format!("a container with id {} exists", container.id))
            .remedy("leave the id out to have one made, or delete that container first"));
    }
    let owner = |name: &String| table.by_name(name).map(|owner| (owner.id.clone(), name.clone()));
    match container.names.iter().find_map(owner) {
        None => Ok(()),
        Some((owner, name)) => Err(failed(Kind::DuplicateName, format!("container {owner} is called {name:?}"))
            .remedy("choose another name, or take it from that container with `remove-names`")),
    }
}
