//! Shutting a store down: nothing stays mounted, and everybody notices.

use super::Store;
use super::mounting::Others;
use super::rubbish::Rubbish;
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::{ThreadKey, mounting};

impl Store {
    /// Makes sure that no layer is mounted. With `force` all mounts are taken away; without, mounted layers make it fail
    /// with [`Kind::LayerUsedByContainer`], and their ids are named. Returns the ids of the layers that were unmounted.
    ///
    /// Holds `storage.lock`, `layers.lock` and `mountpoints.lock` exclusively. Other processes notice by the record in
    /// `storage.lock` and open their driver anew.
    pub fn shutdown(&self, key: &mut ThreadKey, force: bool) -> Result<Vec<String>> {
        let _purpose = crate::record::purpose("shutdown");
        let mut rubbish = Rubbish::of(self);
        let (mut graph, mut key) = self.graph.write(key, &self.wait)?;
        let (mut layers, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let mounted: Vec<String> = self.mounts.snapshot()?.iter().map(|mount| mount.id.clone()).collect();
        if !force && !mounted.is_empty() {
            return Err(Error::new(Kind::LayerUsedByContainer, "shut down")
                .at(&self.places.graph_root)
                .detail(format!("mounted: {}", mounted.join(" ")))
                .remedy("unmount them, or use --force"));
        }
        let ids = mounted.iter().map(|id| LayerId::from_store(id)).collect::<Result<Vec<_>>>()?;
        self.unmount_for_deletion(&mut layers, &mut key, &ids, Others::Forgotten, &mut rubbish)?;
        graph.record_write()?;
        let (mut mounts, _key) = self.write_mounts(&mut layers, &mut key, &mut rubbish)?;
        let mut token = mounting(&mut layers, &mut mounts)?;
        rubbish.add_mount(self.gate.mounting(&mut token)?.retire()?);
        Ok(mounted)
    }
}
