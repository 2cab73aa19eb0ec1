//! Names, metadata and flags: changes of a record alone, whatever it describes.

use std::sync::Arc;

use serde_json::Value;

use super::create::{check_name, unique};
use super::kept::Kept;
use super::layers::Layer;
use super::{Container, Image, Item, ItemKind, Store};
use crate::error::Result;
use crate::locks::{MayTake, ThreadKey};

/// How the names of something are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameChange {
    /// It has exactly these names.
    Set,
    /// It has these names besides its own.
    Add,
    /// It loses these names; one that it hasn't is no error.
    Remove,
}

impl NameChange {
    fn apply(self, own: &[String], names: &[String]) -> Vec<String> {
        match self {
            NameChange::Set => unique(names),
            NameChange::Add => unique(&[names, own].concat()),
            NameChange::Remove => own.iter().filter(|name| !names.contains(name)).cloned().collect(),
        }
    }

    fn operation(self) -> &'static str {
        match self {
            NameChange::Set => "set names",
            NameChange::Add => "add names",
            NameChange::Remove => "remove names",
        }
    }
}

impl Store {
    /// Changes the names of what is called `wanted`: a layer, else an image, else a container. A name that is added is taken
    /// from whoever of the same kind has it. Holds the lock of its kind exclusively.
    pub fn change_names(
        &self,
        key: &mut ThreadKey,
        wanted: &str,
        change: NameChange,
        names: &[String],
    ) -> Result<Item> {
        let _purpose = crate::record::purpose("change names");
        let kind = if self.is_own_layer(wanted)? {
            ItemKind::Layer
        } else {
            self.sight()?.named(wanted, change.operation())?.1.kind()
        };
        match kind {
            ItemKind::Layer => self.rename::<Layer>(key, wanted, change, names),
            ItemKind::Image => {
                self.pull_up(key, wanted)?;
                self.rename::<Image>(key, wanted, change, names)
            }
            ItemKind::Container => self.rename::<Container>(key, wanted, change, names),
        }
    }

    fn rename<R: Kept>(&self, key: &mut ThreadKey, wanted: &str, change: NameChange, names: &[String]) -> Result<Item>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let changed = self.change::<R>(key, wanted, change.operation(), |edit, record| {
            let names = change.apply(record.names(), names);
            for name in &names {
                if !record.names().contains(name) {
                    check_name(name)?;
                }
                edit.release_name(name, record.id(), record.location());
            }
            edit.update(record.id(), |record| {
                record.names_mut().clone_from(&names);
                for name in &names {
                    record.called(name);
                }
            });
            Ok(())
        })?;
        Ok(R::item(changed))
    }

    /// Replaces the metadata of what is called `wanted`: a layer, else an image, else a container. Holds the lock of its kind
    /// exclusively.
    pub fn set_metadata(&self, key: &mut ThreadKey, wanted: &str, metadata: &str) -> Result<Item> {
        let _purpose = crate::record::purpose("set metadata");
        let kind = if self.is_own_layer(wanted)? {
            ItemKind::Layer
        } else {
            self.sight()?.item(wanted, "set metadata")?.1.kind()
        };
        match kind {
            ItemKind::Layer => self.describe::<Layer>(key, wanted, metadata),
            ItemKind::Image => {
                self.pull_up(key, wanted)?;
                self.describe::<Image>(key, wanted, metadata)
            }
            ItemKind::Container => self.describe::<Container>(key, wanted, metadata),
        }
    }

    fn describe<R: Kept>(&self, key: &mut ThreadKey, wanted: &str, metadata: &str) -> Result<Item>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let changed = self.change::<R>(key, wanted, "set metadata", |edit, record| {
            edit.update(record.id(), |record| metadata.clone_into(record.metadata_mut()));
            Ok(())
        })?;
        Ok(R::item(changed))
    }

    /// Sets a flag of the layer called `wanted`. Holds `layers.lock` exclusively.
    pub fn set_flag(&self, key: &mut ThreadKey, wanted: &str, flag: &str, value: Value) -> Result<Arc<Layer>> {
        let _purpose = crate::record::purpose("set flag");
        self.change::<Layer>(key, wanted, "set flag", |edit, layer| {
            edit.update(&layer.id, |layer| {
                layer.flags.insert(flag.to_owned(), value);
            });
            Ok(())
        })
    }

    /// Clears a flag of the layer called `wanted`; one that is not set is no error. Holds `layers.lock` exclusively.
    pub fn clear_flag(&self, key: &mut ThreadKey, wanted: &str, flag: &str) -> Result<Arc<Layer>> {
        let _purpose = crate::record::purpose("clear flag");
        self.change::<Layer>(key, wanted, "clear flag", |edit, layer| {
            edit.update(&layer.id, |layer| {
                layer.flags.shift_remove(flag);
            });
            Ok(())
        })
    }
}
