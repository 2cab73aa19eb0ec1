//! Names, metadata and flags of a layer: changes of its record alone.

use serde_json::Value;

use super::Store;
use super::create::{check_name, unique};
use super::layers::{Edit, Layer};
use super::rubbish::Rubbish;
use crate::error::Result;
use crate::locks::ThreadKey;

impl Store {
    /// Gives the layer called `wanted` exactly `names`, taking them from whoever has them. Holds `layers.lock` exclusively.
    pub fn set_names(&self, key: &mut ThreadKey, wanted: &str, names: &[String]) -> Result<Layer> {
        self.change_names(key, wanted, "set names", |_| names.to_vec())
    }

    /// Adds `names` to those of the layer called `wanted`, taking them from whoever has them. Holds `layers.lock`
    /// exclusively.
    pub fn add_names(&self, key: &mut ThreadKey, wanted: &str, names: &[String]) -> Result<Layer> {
        self.change_names(key, wanted, "add names", |own| names.iter().chain(own).cloned().collect())
    }

    /// Removes `names` from those of the layer called `wanted`; one that it hasn't is no error. Holds `layers.lock`
    /// exclusively.
    pub fn remove_names(&self, key: &mut ThreadKey, wanted: &str, names: &[String]) -> Result<Layer> {
        self.change_names(key, wanted, "remove names", |own| {
            own.iter().filter(|name| !names.contains(name)).cloned().collect()
        })
    }

    fn change_names(
        &self,
        key: &mut ThreadKey,
        wanted: &str,
        operation: &'static str,
        change: impl FnOnce(&[String]) -> Vec<String>,
    ) -> Result<Layer> {
        self.change(key, wanted, operation, |edit, layer| {
            let names = unique(&change(&layer.names));
            for name in &names {
                if !layer.names.contains(name) {
                    check_name(name)?;
                }
                edit.release_name(name, &layer.id);
            }
            edit.update(&layer.id, |layer| layer.names = names);
            Ok(())
        })
    }

    /// Replaces the metadata of the layer called `wanted`. Holds `layers.lock` exclusively.
    pub fn set_metadata(&self, key: &mut ThreadKey, wanted: &str, metadata: &str) -> Result<Layer> {
        self.change(key, wanted, "set metadata", |edit, layer| {
            edit.update(&layer.id, |layer| metadata.clone_into(&mut layer.metadata));
            Ok(())
        })
    }

    /// Sets a flag of the layer called `wanted`. Holds `layers.lock` exclusively.
    pub fn set_flag(&self, key: &mut ThreadKey, wanted: &str, flag: &str, value: Value) -> Result<Layer> {
        self.change(key, wanted, "set flag", |edit, layer| {
            edit.update(&layer.id, |layer| {
                layer.flags.insert(flag.to_owned(), value);
            });
            Ok(())
        })
    }

    /// Clears a flag of the layer called `wanted`; one that is not set is no error. Holds `layers.lock` exclusively.
    pub fn clear_flag(&self, key: &mut ThreadKey, wanted: &str, flag: &str) -> Result<Layer> {
        self.change(key, wanted, "clear flag", |edit, layer| {
            edit.update(&layer.id, |layer| {
                layer.flags.shift_remove(flag);
            });
            Ok(())
        })
    }

    /// Resolves `wanted` once, under the lock, changes its record, and saves. Returns the new record.
    pub(super) fn change(
        &self,
        key: &mut ThreadKey,
        wanted: &str,
        operation: &'static str,
        change: impl FnOnce(&mut Edit, &Layer) -> Result<()>,
    ) -> Result<Layer> {
        let mut rubbish = Rubbish::of(self);
        let (mut guard, _key) = self.write_layers(key, &mut rubbish)?;
        let layer = guard.table().resolve(wanted, operation)?.clone();
        let mut edit = Edit::of(guard.table());
        change(&mut edit, &layer)?;
        if !edit.is_empty() {
            let (table, changed) = edit.finish();
            guard.save(table, &changed)?;
            self.flush_names(&guard)?;
        }
        Ok(guard.table().get(&layer.id).map_or_else(|| Layer::clone(&layer), |layer| Layer::clone(layer)))
    }
}
