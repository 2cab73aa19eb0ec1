//! Making an image: its data in staging, then in place by one rename, under one record.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Image, ImageTable};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::atomic::rename_over;
use crate::fs::{TempDir, TempDirs};
use crate::ids::{LayerId, check_digest};
use crate::locks::{Kernel, ThreadKey, World};
use crate::store::additional::MOST_DATA;
use crate::store::big_data::{USERDATA, file_name};
use crate::store::create::{check_name, unique};
use crate::store::kept::Kept;
use crate::store::records::{Edit, Record, json};
use crate::store::rubbish::Rubbish;
use crate::store::{Durability, Item, Store};

/// What a new image is to be.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// Its id; one is made when there is none. By convention the hexadecimal digits of the digest of the configuration.
    pub id: Option<LayerId>,
    /// Its names.
    pub names: Vec<String>,
    /// What becomes of an image that has one of the names.
    pub name_owners: NameOwners,
    /// Its top layer: an id, a name, or the beginning of one id. None for an image without layers.
    pub layer: Option<String>,
    /// Text that belongs to the user.
    pub metadata: String,
    /// The digest of its manifest; taken from the data when it isn't said.
    pub digest: String,
    /// When it was made, as RFC 3339; now when it isn't said.
    pub created: Option<String>,
    /// Big data that it has from the start.
    pub data: Vec<NewData>,
    /// Flags.
    pub flags: Map<String, Value>,
}

/// What becomes of another image that has a name of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameOwners {
    /// It keeps the name, and the new image is refused.
    #[default]
    Keep,
    /// It loses the name to the new image.
    Lose,
}

/// Big data that something has from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewData {
    /// The key.
    pub name: String,
    /// The data.
    pub bytes: Vec<u8>,
}

/// The name of what becomes the directory of data, in staging.
const STAGED: &str = "data";

/// A directory of data in staging, for something new.
#[derive(Debug)]
pub(in crate::store) struct StagedData {
    place: TempDir,
    /// Name, size and digest of each.
    pub(in crate::store) written: Vec<(String, i64, String)>,
}

impl StagedData {
    /// Puts the data in place as the directory `target`. What stood there belongs to nobody and goes to `rubbish`, but for the
    /// engine's directory, which may be there before the record.
    pub(in crate::store) fn put(&self, target: &Path, side: &TempDirs, rubbish: &mut Rubbish<'_>) -> Result<()> {
        if target.symlink_metadata().is_ok() {
            let engines = target.join(USERDATA);
            if engines.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                rename_over(&engines, &self.place.path().join(STAGED).join(USERDATA))?;
            }
            rubbish.add(Box::new(side.trash(target)?));
        }
        self.place.move_out(STAGED, target)
    }

    /// Says in the new record what is there.
    pub(in crate::store) fn describe<R: Kept>(&self, record: &mut R) {
        for (name, size, digest) in &self.written {
            record.describe_data(name, *size, digest);
        }
    }
}

impl Store {
    /// Writes `data` to a staging place of `side`, without a lock. None when there is no data.
    pub(in crate::store) fn stage_data(&self, side: &TempDirs, data: &[NewData]) -> Result<Option<StagedData>> {
        if data.is_empty() {
            return Ok(None);
        }
        let place = side.create()?;
        let home = place.path().join(STAGED);
        DirBuilder::new().mode(0o700).create(&home).os("mkdir", &home)?;
        let mut staged = StagedData { place, written: Vec::new() };
        for item in data {
            let file = file_name(&item.name)?;
            let twice = staged.written.iter().any(|(name, ..)| *name == item.name);
            if file == USERDATA || twice {
                return Err(Error::new(Kind::InvalidBigDataName, "check data key")
                    .detail(format!("{:?} can't be a key here", item.name))
                    .remedy("use another key, and each only once"));
            }
            let written = self.write_data(&home.join(file), &mut item.bytes.as_slice())?;
            staged.written.push((item.name.clone(), written.size, written.digest));
        }
        if self.durability != Durability::None {
            Kernel::new().flush_directory(&home)?;
        }
        Ok(Some(staged))
    }

    /// Makes an image of a layer that is there, in this store or an additional one.
    ///
    /// The data is written in staging, without a lock; `layers.lock` is held shared and `images.lock` exclusively to commit.
    /// An image of this id in an additional store is pulled up: its names, history and data become the new one's. Fails with
    /// [`Kind::DuplicateId`], [`Kind::DuplicateName`] or [`Kind::LayerUnknown`]; on any failure the store is as before.
    pub fn create_image(&self, key: &mut ThreadKey, new: &NewImage) -> Result<Arc<Image>> {
        let _purpose = crate::record::purpose("create image");
        let id = match &new.id {
            Some(id) => id.clone(),
            None => LayerId::random()?,
        };
        new.names.iter().try_for_each(|name| check_name(name))?;
        if !new.digest.is_empty() {
            check_digest(&new.digest)?;
        }
        let mut image = Image {
            id: id.to_string(),
            digest: new.digest.clone(),
            metadata: new.metadata.clone(),
            created: new.created.as_deref().map_or_else(|| Ok(json::now()), json::time)?,
            flags: new.flags.clone(),
            location: self.places.images_go_to(),
            ..Image::default()
        };
        let mut data = new.data.clone();
        let sight = self.sight()?;
        if let Some((number, below)) = sight
            .images
            .iter()
            .enumerate()
            .skip(1)
            .find_map(|(number, table)| table.get(id.as_str()).map(|image| (number, image)))
        {
            image.names.clone_from(&below.names);
            image.names_history.clone_from(&below.names_history);
            data.splice(0..0, self.data_below(number, below, &data)?);
        }
        image.names = unique(&[image.names.as_slice(), &new.names].concat());
        image.names.clone().iter().for_each(|name| image.called(name));
        self.commit_image(key, image, new.layer.as_deref(), &data, new.name_owners)
    }

    fn commit_image(
        &self,
        key: &mut ThreadKey,
        mut image: Image,
        layer: Option<&str>,
        data: &[NewData],
        owners: NameOwners,
    ) -> Result<Arc<Image>> {
        let side = image.side_places(self);
        let staged = self.stage_data(&side, data)?;
        if let Some(staged) = &staged {
            staged.describe(&mut image);
        }
        let mut rubbish = Rubbish::of(self);
        let (layers, mut key) = self.layers.read(key, &self.wait)?;
        if let Some(wanted) = layer.filter(|layer| !layer.is_empty()) {
            let mut sight = self.sight()?;
            sight.layers[0] = Arc::clone(layers.table());
            image.layer.clone_from(&sight.layer(wanted, "create image")?.1.id);
        }
        let (mut guard, _key) = Image::write(self, &mut key, &mut rubbish)?;
        check_free(guard.table(), &image, owners)?;
        let home = image.directory(self)?;
        if let Some(staged) = &staged {
            staged.put(&home, &side, &mut rubbish)?;
        }
        let id = image.id.clone();
        let mut edit = Edit::of(guard.table());
        image.names.iter().for_each(|name| edit.release_name(name, &id, image.location));
        edit.push(image);
        let saved = self.save_edit(&mut guard, edit);
        if let Some(image) = guard.table().get(&id) {
            return saved.map(|()| Arc::clone(image));
        }
        if staged.is_some() {
            rubbish.add(Box::new(side.trash(&home)?));
        }
        saved.and_then(|()| Err(guard.table().unknown(&id, "create image")))
    }

    /// The data of an image of an additional store, but what `besides` replaces.
    fn data_below(&self, number: usize, image: &Arc<Image>, besides: &[NewData]) -> Result<Vec<NewData>> {
        use std::io::Read;
        let item = Item::Image(Arc::clone(image));
        let mut seen = HashSet::new();
        let wanted = image.big_data_names.iter().filter(|name| !besides.iter().any(|data| data.name == **name));
        let mut left = MOST_DATA;
        wanted
            .filter(|name| seen.insert(name.as_str()))
            .map(|name| {
                let mut bytes = Vec::new();
                self.open_item_data(number, &item, name)?.take(left).read_to_end(&mut bytes).os("read", name)?;
                left -= bytes.len() as u64;
                if left == 0 {
                    return Err(Error::new(Kind::NotSupported, "pull up image")
                        .detail(format!("the data {name:?} of image {} is too large to be an image's", image.id)));
                }
                Ok(NewData { name: name.clone(), bytes })
            })
            .collect()
    }

    /// Makes sure that the image called `wanted` can be changed: one that only an additional store has is copied here, with
    /// its names, its history and its data; its layers stay where they are. Returns its id.
    pub(in crate::store) fn pull_up(&self, key: &mut ThreadKey, wanted: &str) -> Result<String> {
        let sight = self.sight()?;
        let (number, image) = sight.image(wanted, "pull up image")?;
        if number == 0 {
            return Ok(image.id.clone());
        }
        let data = self.data_below(number, image, &[])?;
        let mut own = Image { raw: None, location: self.places.images_go_to(), ..Image::clone(image) };
        // What the reference couldn't read would make all images unreadable for it.
        own.created = json::time(&own.created).unwrap_or_else(|_| json::now());
        if check_digest(&own.digest).is_err() {
            own.digest.clear();
        }
        own.big_data_names.clear();
        own.big_data_sizes.clear();
        own.big_data_digests.clear();
        let layer = Some(image.layer.as_str()).filter(|layer| !layer.is_empty());
        let id = own.id.clone();
        match self.commit_image(key, own, layer, &data, NameOwners::Keep) {
            // Somebody else did meanwhile.
            Err(error) if error.kind() == Kind::DuplicateId => Ok(id),
            other => other.map(|image| image.id.clone()),
        }
    }
}

/// Whether the id and the names of a new image are free.
fn check_free(table: &ImageTable, image: &Image, owners: NameOwners) -> Result<()> {
    let failed = |kind, detail: String| Error::new(kind, "create image").detail(detail);
    if table.get(&image.id).is_some() {
        return Err(failed(Kind::DuplicateId, format!("an image with id {} exists", image.id))
            .remedy("leave the id out to have one made, or delete that image first"));
    }
    let owner = |name: &String| table.by_name(name).map(|owner| (owner.id.clone(), name.clone()));
    match image.names.iter().find_map(owner).filter(|_| owners == NameOwners::Keep) {
        None => Ok(()),
        Some((owner, name)) => Err(failed(Kind::DuplicateName, format!("image {owner} is called {name:?}"))
            .remedy("choose another name, or take it from that image with `remove-names`")),
    }
}
