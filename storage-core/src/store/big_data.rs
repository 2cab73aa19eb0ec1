//! Data that hangs on a layer, an image or a container under a key.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/<layer>/             0700   (<driver>-images/<image>/, <driver>-containers/<container>/)
//!   <file name of the key>                       0600
//! ```
//!
//! The file name is the key itself when it is made of `.`, digits and lower-case letters, else `=` and the key in base64. The
//! reference overlooks a last character that isn't one of those; files so named exist, so we overlook it too, unless it could
//! lead out of the directory.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::kept::Kept;
use super::options::Durability;
use super::records::Location;
use super::sight::StoreNumber;
use super::{Container, Image, Item, ItemKind, Layer, Store};
use crate::archive::HashingWriter;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::atomic::rename_over;
use crate::ids::LayerId;
use crate::locks::{Kernel, MayTake, ThreadKey, World};

impl Store {
    /// The keys of the data of what is called `wanted`. Takes no lock.
    pub fn data_names(&self, kind: ItemKind, wanted: &str) -> Result<Vec<String>> {
        Ok(self.sight_of(kind)?.item_of(kind, wanted, "list data")?.1.data_names().to_vec())
    }

    /// Opens the data `name` of what is called `wanted`. Takes no lock. Fails with [`Kind::NotFound`] when there is none.
    pub fn open_data(&self, kind: ItemKind, wanted: &str, name: &str) -> Result<File> {
        let (number, item) = self.sight_of(kind)?.item_of(kind, wanted, "open data")?;
        self.open_item_data(number, &item, name)
    }

    /// Opens the data `name` of `item`, of whichever store it is. Fails with [`Kind::NotFound`] when there is none.
    pub(super) fn open_item_data(&self, number: StoreNumber, item: &Item, name: &str) -> Result<File> {
        let path = self.data_home(number, item)?.join(file_name(name)?);
        let additional = number.checked_sub(1).and_then(|number| self.additional.get(number));
        let opened = match additional {
            _ if !has(item, name) => {
                Err(Error::os("open data", &path, std::io::Error::from_raw_os_error(libc::ENOENT)))
            }
            Some(store) => store.open_data(&path),
            None => File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path).os("open data", &path),
        };
        opened.map_err(|error| if error.kind() == Kind::NotFound { lacks(error, item, name) } else { error })
    }

    /// The data `name` of what is called `wanted`. Takes no lock.
    pub fn data(&self, kind: ItemKind, wanted: &str, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_data(kind, wanted, name)?.read_to_end(&mut bytes).os("read", name)?;
        Ok(bytes)
    }

    /// The size in bytes of the data `name`, as its record says, else as its file has it. Takes no lock. Fails with
    /// [`Kind::SizeUnknown`] when there is no such data.
    pub fn data_size(&self, kind: ItemKind, wanted: &str, name: &str) -> Result<u64> {
        let (number, item) = self.sight_of(kind)?.item_of(kind, wanted, "size data")?;
        let recorded = match &item {
            Item::Layer(_) => None,
            Item::Image(image) => image.big_data_sizes.get(name).copied(),
            Item::Container(container) => container.big_data_sizes.get(name).copied(),
        };
        match recorded.and_then(|size| u64::try_from(size).ok()) {
            Some(size) => Ok(size),
            None if !has(&item, name) => Err(lacks(Error::new(Kind::SizeUnknown, "size data"), &item, name)),
            // A record of long ago doesn't say: the file does.
            None => Ok(self.open_item_data(number, &item, name)?.metadata().os("fstat", name)?.len()),
        }
    }

    /// The digest of the data `name`, as its record says, else computed. Takes no lock. Fails with [`Kind::DigestUnknown`]
    /// when there is no such data.
    pub fn data_digest(&self, kind: ItemKind, wanted: &str, name: &str) -> Result<String> {
        let (number, item) = self.sight_of(kind)?.item_of(kind, wanted, "digest data")?;
        let recorded = match &item {
            Item::Layer(_) => None,
            Item::Image(image) => image.big_data_digests.get(name).cloned(),
            Item::Container(container) => container.big_data_digests.get(name).cloned(),
        };
        match recorded.filter(|digest| !digest.is_empty()) {
            Some(digest) => Ok(digest),
            None if !has(&item, name) => Err(lacks(Error::new(Kind::DigestUnknown, "digest data"), &item, name)),
            None => Ok(copy_hashed(&mut self.open_item_data(number, &item, name)?, std::io::sink())?.0),
        }
    }

    /// Replaces the data `name` of what is called `wanted` by what `data` gives. It is written in staging, without a lock;
    /// the lock of its kind is held exclusively to put it in place. Fails with [`Kind::InvalidBigDataName`].
    pub fn set_data(
        &self,
        key: &mut ThreadKey,
        kind: ItemKind,
        wanted: &str,
        name: &str,
        data: &mut dyn Read,
    ) -> Result<()> {
        let _purpose = crate::record::purpose("set data");
        match kind {
            ItemKind::Layer => self.set_data_of::<Layer>(key, wanted, name, data),
            ItemKind::Image => {
                self.pull_up(key, wanted)?;
                self.set_data_of::<Image>(key, wanted, name, data)
            }
            ItemKind::Container => self.set_data_of::<Container>(key, wanted, name, data),
        }
    }

    fn set_data_of<R: Kept>(&self, key: &mut ThreadKey, wanted: &str, name: &str, data: &mut dyn Read) -> Result<()>
    where
        ThreadKey: MayTake<R::Level>,
    {
        let file_name = file_name(name)?;
        if file_name == USERDATA {
            return Err(invalid(name));
        }
        let before = Arc::clone(R::level(self).snapshot()?.resolve(wanted, "set data")?);
        let place = before.side_places(self).create()?;
        let written = self.write_data(&place.path().join("data"), data)?;
        self.change::<R>(key, wanted, "set data", |edit, record| {
            let directory = record.directory(self)?;
            DirBuilder::new().recursive(true).mode(0o700).create(&directory).os("mkdir", &directory)?;
            place.check()?;
            rename_over(&place.path().join("data"), &directory.join(&file_name))?;
            if self.durability == Durability::Strict {
                Kernel::new().flush_directory(&directory)?;
            }
            edit.update(record.id(), |record| record.describe_data(name, written.size, &written.digest));
            Ok(())
        })?;
        Ok(())
    }

    /// Writes `data` to the new file `path` and, as far as the store promises it, to disk.
    pub(super) fn write_data(&self, path: &Path, data: &mut dyn Read) -> Result<Written> {
        let file = File::options().create_new(true).write(true).mode(0o600).open(path).os("open", path)?;
        let (digest, size) = copy_hashed(data, &file).map_err(|error| error.at(path))?;
        if self.durability != Durability::None {
            file.sync_data().os("fdatasync", path)?;
        }
        Ok(Written { size: size as i64, digest })
    }

    /// The directory of the data of `item`, in whichever store it stands.
    pub(super) fn data_home(&self, number: StoreNumber, item: &Item) -> Result<PathBuf> {
        if let Some(other) = number.checked_sub(1).and_then(|number| self.additional.get(number)) {
            let id = LayerId::from_store(item.id())?;
            return Ok(match item {
                Item::Layer(_) => other.places().layers().join(id.as_str()),
                _ => other.places().images(Location::Stable).join(id.as_str()),
            });
        }
        match item {
            Item::Layer(layer) => layer.directory(self),
            Item::Image(image) => image.directory(self),
            Item::Container(container) => container.directory(self),
        }
    }
}

fn has(item: &Item, name: &str) -> bool {
    item.data_names().iter().any(|own| own == name)
}

/// Says in `error` that `item` has no data `name`.
fn lacks(error: Error, item: &Item, name: &str) -> Error {
    error
        .detail(format!("{} {} has no data called {name:?}", item.kind(), item.id()))
        .remedy(format!("`lamina list-{}-data` lists the keys", item.kind()))
}

/// Data that was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) size: i64,
    pub(super) digest: String,
}

/// The name of the directory that stands among the data of images and containers.
pub(super) const USERDATA: &str = "userdata";

/// The digest (`sha256:…`) and the size of what `data` gives, which goes to `out`.
pub(super) fn copy_hashed(data: &mut dyn Read, out: impl Write) -> Result<(String, u64)> {
    let mut hashing = HashingWriter::new(out);
    std::io::copy(data, &mut hashing).os("copy", "data")?;
    let (_, digest, size) = hashing.finish();
    Ok((digest, size))
}

/// The file name of a key. Fails with [`Kind::InvalidBigDataName`] for a key that is empty or would lead elsewhere.
pub(super) fn file_name(key: &str) -> Result<String> {
    let plain = |character: char| matches!(character, '.' | '0'..='9' | 'a'..='z');
    let odd = key.char_indices().find(|(_, character)| !plain(*character));
    let name = match odd {
        // The reference sees an odd character only when something follows it.
        Some((at, character)) if at + character.len_utf8() < key.len() => format!("={}", STANDARD.encode(key)),
        _ => key.to_owned(),
    };
    if name.is_empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0') || name.len() > 255 {
        return Err(invalid(key));
    }
    Ok(name)
}

/// The key whose data has this file name; none for a name that is no key's.
pub(super) fn key_of(file: &str) -> Option<String> {
    let key = match file.strip_prefix('=') {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?,
        None => file.to_owned(),
    };
    (file_name(&key).ok()? == file).then_some(key)
}

fn invalid(key: &str) -> Error {
    Error::new(Kind::InvalidBigDataName, "check data key")
        .detail(format!("{key:?} can't be a key"))
        .remedy("use another key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_the_file_names_that_the_reference_gives_them() {
        assert_eq!(file_name("manifest").expect("name"), "manifest");
        assert_eq!(file_name("aB").expect("name"), "aB", "an odd last character is overlooked");
        assert_eq!(file_name("ab-").expect("name"), "ab-");
        assert_eq!(file_name("aBc").expect("name"), "=YUJj");
        assert_eq!(file_name("some data/with:odd name").expect("name"), "=c29tZSBkYXRhL3dpdGg6b2RkIG5hbWU=");
    }

    #[test]
    fn file_names_tell_their_keys() {
        for key in ["manifest", "aB", "sha256:0123", "some data/with:odd name"] {
            assert_eq!(key_of(&file_name(key).expect("name")).as_deref(), Some(key));
        }
        for file in ["=%%", "aBc", ".", "=YQ=="] {
            assert_eq!(key_of(file), None, "{file}");
        }
    }

    #[test]
    fn keys_that_lead_elsewhere_are_refused() {
        for key in ["", ".", "..", "a/"] {
            assert_eq!(file_name(key).map_err(|error| error.kind()), Err(Kind::InvalidBigDataName), "{key:?}");
        }
    }
}
