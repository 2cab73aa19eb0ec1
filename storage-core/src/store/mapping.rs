//! With which ids a container sees its files, and on which copy of the image's top layer it stands.
//!
//! Where the driver can show owners mapped ([`Capability::IdMappedMounts`]) every container of an image stands on the same
//! top layer. Where it can't, a copy of the top layer with the container's owners is made once for each maps, noted in the
//! image (`mapped-layers`), and found again by the next container with the same.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::create::{Keep, Owners, Role};
use super::images::Image;
use super::import::Content;
use super::intent::Intent;
use super::kept::Kept;
use super::records::Edit;
use super::rubbish::Rubbish;
use super::sight::StoreNumber;
use super::{Container, ItemKind, LayerTable, NewLayer, Store};
use crate::driver::Capability;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath;
use crate::idmap::auto::{Limits, Pool, Wanted, allocate, ids_up_to};
use crate::idmap::{Maps, Namespace, SubIds, Subject, ids_of_accounts};
use crate::locks::MayTake;
use crate::locks::level::Layers;
use crate::mount::in_user_namespace;
use crate::task::Task;

/// With which ids a container sees its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// With the host's.
    #[default]
    Host,
    /// With these.
    Mapped(Maps),
    /// With ids that no other container has.
    Auto(AutoMapping),
}

/// A wish for ids of a container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoMapping {
    /// How many ids.
    pub wanted: Wanted,
    /// Maps that are added to those found.
    pub additional: Maps,
}

/// Where ids for [`Mapping::Auto`] come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoIds {
    /// Whose ranges root gives to containers (`root-auto-userns-user`).
    pub root_user: String,
    /// How many ids a container gets that doesn't say.
    pub limits: Limits,
    /// The ranges of users' ids.
    pub subuid: PathBuf,
    /// The ranges of groups' ids.
    pub subgid: PathBuf,
}

impl Default for AutoIds {
    fn default() -> Self {
        AutoIds {
            root_user: "containers".to_owned(),
            limits: Limits::default(),
            subuid: "/etc/subuid".into(),
            subgid: "/etc/subgid".into(),
        }
    }
}

/// The most that is read of an image's list of accounts, in bytes.
const ACCOUNTS: u64 = 1 << 20;

impl Store {
    /// Whether files kept without maps can be shown mapped. May try it out: not to be asked under a lock.
    pub(super) fn shows_owners_mapped(&self) -> bool {
        self.capabilities().has(Capability::IdMappedMounts)
    }

    /// Maps that no other container has, for one of `image`. `userns.lock` is held.
    pub(super) fn choose_maps(
        &self,
        key: &mut impl MayTake<Layers>,
        auto: &AutoMapping,
        image: Option<&(StoreNumber, Arc<Image>)>,
    ) -> Result<Maps> {
        let needed = match image {
            Some((_, image)) if auto.wanted.depends_on_image() => self.ids_in_image(key, image)?,
            _ => 0,
        };
        let size = auto.wanted.size(needed, self.auto_ids.limits)?;
        let containers = self.all_containers()?;
        let used: Vec<Maps> = containers.iter().map(|container| container.maps()).collect();
        allocate(size, &self.pool()?, &used, &auto.additional)
    }

    /// The ids that containers may be given.
    fn pool(&self) -> Result<Pool> {
        let (uids, gids) = (SubIds::read(&self.auto_ids.subuid)?, SubIds::read(&self.auto_ids.subgid)?);
        if !in_user_namespace() {
            let owner = Subject::named(&self.auto_ids.root_user);
            return Ok(Pool { uids: uids.ids(owner), gids: gids.ids(owner) });
        }
        let (name, id) = ordinary_user();
        let owner = Subject { name: name.as_deref(), id };
        Ok(Pool { uids: uids.ids(owner), gids: gids.ids(owner) }.inside_namespace())
    }

    /// How many ids the files and the accounts of an image need.
    fn ids_in_image(&self, key: &mut impl MayTake<Layers>, image: &Image) -> Result<u32> {
        let (guard, _key) = self.layers.read(key, &self.wait)?;
        let tables = self.layer_tables(guard.table(), [image.layer.as_str()]);
        let Some((number, top)) = super::sight::by_id(&tables, &image.layer) else { return Ok(0) };
        let chain = super::diff::chain_of(&tables, top);
        let in_layers = ids_up_to(chain.flat_map(|layer| layer.uids.iter().chain(&layer.gids)).copied());
        let view = self.gate.shared(&guard.shared())?.view(&self.layer_ref_in(guard.table(), number, top)?)?;
        drop(guard);
        let accounts = |path: &str| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            match beneath::open_file(view.root(), Path::new(path), beneath::Links::Beneath) {
                Ok(file) => {
                    file.take(ACCOUNTS).read_to_end(&mut bytes).os("read", path)?;
                    Ok(bytes)
                }
                // An image without accounts needs none; one that leads elsewhere is not followed.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Escape) => Ok(bytes),
                Err(error) => Err(error),
            }
        };
        Ok(in_layers.max(ids_of_accounts(&accounts("etc/passwd")?, &accounts("etc/group")?)))
    }

    /// What a container of `image` with `maps` stands on: the image's top layer, or a copy of it with their owners, which is
    /// made when there is none.
    pub(super) fn base_for(
        &self,
        key: &mut impl MayTake<Layers>,
        image: Option<&(StoreNumber, Arc<Image>)>,
        maps: &Maps,
        task: &Task,
    ) -> Result<Base> {
        let shown = maps.is_identity() || self.shows_owners_mapped();
        let kept = if shown && !maps.is_identity() { Maps::NONE } else { maps.clone() };
        let Some((number, image)) = image.filter(|(_, image)| !image.layer.is_empty()) else {
            return Ok(Base { layer: None, kept });
        };
        let sight = self.sight()?;
        let tops: Vec<_> = image.top_layers().filter_map(|id| sight.layer_by_id(id)).map(|(_, layer)| layer).collect();
        if let Some(layer) = tops.iter().find(|layer| shown && layer.maps().is_identity()) {
            return Ok(Base { layer: Some(layer.id.clone()), kept });
        }
        let kept = maps.clone();
        if let Some(layer) = tops.iter().find(|layer| layer.maps() == *maps) {
            return Ok(Base { layer: Some(layer.id.clone()), kept });
        }
        // An image of an additional store can't note a copy: the container's own layer is copied.
        let layer = if *number > 0 { image.layer.clone() } else { self.make_mapped_copy(key, image, maps, task)? };
        Ok(Base { layer: Some(layer), kept })
    }

    fn make_mapped_copy(
        &self,
        key: &mut impl MayTake<Layers>,
        image: &Image,
        maps: &Maps,
        task: &Task,
    ) -> Result<String> {
        let new = NewLayer {
            parent: Some(image.layer.clone()),
            owners: Owners::mapped(maps),
            read_only: true,
            ..NewLayer::default()
        };
        let mut plan = self.plan_layer(&new)?;
        (plan.keep, plan.role) = (Keep::AsAsked, Role::Copy);
        let copy = plan.id.to_string();
        plan.intent = Intent::CreateFor { owner: ItemKind::Image, id: image.id.clone(), layer: copy.clone() };
        let mut filled = self.begin_and_fill(key, &mut plan, Content::None, task)?;
        let mut rubbish = Rubbish::of(self);
        let (mut layers, mut key) = self.write_layers(key, &mut rubbish)?;
        if let Some(theirs) = self.noted_copy(layers.table(), &image.id, maps)? {
            return Ok(theirs);
        }
        self.commit_planned(&mut layers, &plan, &mut filled, &mut rubbish)?;
        let noted = (|| {
            let (mut images, _key) = Image::write(self, &mut key, &mut rubbish)?;
            let id = images.table().resolve(&image.id, "map image")?.id.clone();
            let mut edit = Edit::of(images.table());
            edit.update(&id, |image| image.mapped_layers.push(copy.clone()));
            self.save_edit(&mut images, edit)
        })();
        match noted {
            Ok(()) => self.said_and_done().map(|()| copy),
            Err(error) => {
                // What can't be taken back now is named by the intent, for the next writer.
                let _ = self.forget_layers(&mut layers, std::slice::from_ref(&plan.id), &mut rubbish);
                Err(error)
            }
        }
    }
}

impl Store {
    /// The copy of an image's top layer with the owners of `maps` that somebody else has made meanwhile.
    fn noted_copy(&self, layers: &LayerTable, image: &str, maps: &Maps) -> Result<Option<String>> {
        let images = self.images.snapshot()?;
        let copies = images.get(image).into_iter().flat_map(|image| &image.mapped_layers);
        Ok(copies.filter_map(|id| layers.get(id)).find(|layer| layer.maps() == *maps).map(|layer| layer.id.clone()))
    }
}

impl Store {
    /// Where `wanted` is the layer of a container that sees it mapped, though its record has no maps: what is written there
    /// belongs to the host's ids all the same. Asked before a lock is taken.
    pub(super) fn shown_layer(&self, wanted: &str) -> Result<Option<ShownLayer>> {
        let sight = self.layer_sight()?;
        let Ok((_, layer)) = sight.layer(wanted, "look up owners") else { return Ok(None) };
        // What something stands on is no container's: others are not asked about.
        let is_below = sight.layers.iter().any(|table| table.children(&layer.id).next().is_some());
        if is_below || !layer.maps().is_empty() || !self.shows_owners_mapped() {
            return Ok(None);
        }
        let containers = self.all_containers()?;
        let maps = containers.iter().find(|container| container.layer == layer.id).map(|container| container.maps());
        match maps.filter(|maps| !maps.is_identity()) {
            Some(maps) => Ok(Some(ShownLayer { layer: layer.id.clone(), namespace: Namespace::of(&maps)? })),
            None => Ok(None),
        }
    }
}

/// The layer of a container that sees it mapped.
pub(super) struct ShownLayer {
    /// The layer.
    pub(super) layer: String,
    /// What has the container's maps.
    pub(super) namespace: Namespace,
}

/// What a new container stands on.
pub(super) struct Base {
    /// The layer below its own.
    pub(super) layer: Option<String>,
    /// The maps with which its own layer is kept: none where what it stands on is shown mapped.
    pub(super) kept: Maps,
}

/// The name and the id of the user for whom a user namespace was entered, as the variables tell that engines set.
fn ordinary_user() -> (Option<String>, Option<u32>) {
    let id = std::env::var("_CONTAINERS_ROOTLESS_UID").ok().and_then(|uid| uid.parse().ok());
    let user = id.and_then(|id| nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)).ok().flatten());
    (user.map(|user| user.name), id)
}

/// That a container can't be mounted because its driver has no way to show its owners.
pub(super) fn no_shifting(container: &Container) -> Error {
    Error::new(Kind::NotSupported, "mount container")
        .detail(format!("cannot mount layer {}: shifting not enabled", container.layer))
        .remedy("use a driver and a filesystem that can show owners mapped, or make the container again")
}
