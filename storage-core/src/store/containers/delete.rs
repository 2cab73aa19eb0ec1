//! Deleting a container, with its layer and its directories.

use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::store::intent::Intent;
use crate::store::kept::Kept;
use crate::store::mounting::Others;
use crate::store::records::Edit;
use crate::store::rubbish::Rubbish;
use crate::store::{Container, ItemKind, Store};
use crate::task::Task;

impl Store {
    /// Deletes the container called `wanted`, its layer, its data and its directories. A container whose layer is lost is
    /// deleted all the same.
    ///
    /// Holds `storage.lock` shared, `layers.lock` and `containers.lock` exclusively; trees are deleted after they are
    /// released, which `task` watches. The record goes first and the intent names the layer meanwhile, so that no death
    /// leaves a container without a layer, or a layer without a container.
    pub fn delete_container(&self, key: &mut ThreadKey, wanted: &str, task: &Task) -> Result<()> {
        let _purpose = crate::record::purpose("delete container");
        let mut rubbish = Rubbish::of(self).watched_by(task);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        // Who holds the layers keeps everybody from making or deleting a container.
        let container = self.containers.snapshot()?.resolve(wanted, "delete container")?.clone();
        let own = layers.table().get(&container.layer).map(|layer| layer.layer_id()).transpose()?;
        let going: Vec<LayerId> = own.into_iter().collect();
        let leased = self.leased_layers()?;
        if let Some(id) = going.iter().find(|id| leased.contains(id.as_str())) {
            return Err(Error::new(Kind::Busy, "delete container")
                .detail(format!("its layer {id} is leased by a process that is about to use it"))
                .remedy("try again when that is done"));
        }
        self.unmount_for_deletion(&mut layers, &mut key, &going, Others::Respected, &mut rubbish)?;
        self.say_if_there_is_room(&Intent::DeleteWith {
            owner: ItemKind::Container,
            id: container.id.clone(),
            layers: going.iter().map(ToString::to_string).collect(),
        })?;
        let flushed = {
            let (mut guard, _key) = Container::write(self, &mut key, &mut rubbish)?;
            let mut edit = Edit::of(guard.table());
            edit.remove(&container.id);
            let saved = self.save_edit(&mut guard, edit);
            if guard.table().get(&container.id).is_some() {
                return saved.and(self.said_and_done());
            }
            self.discard_data(ItemKind::Container, &container.id, &mut rubbish)?;
            saved
        };
        self.forget_layers(&mut layers, &going, &mut rubbish)?;
        flushed
    }
}
