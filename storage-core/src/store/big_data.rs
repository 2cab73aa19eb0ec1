//! Data that hangs on a layer under a key.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/<layer>/    0700
//!   <file name of the key>              0600
//! ```
//!
//! The file name is the key itself when it is made of `.`, digits and lower-case letters, else `=` and the key in base64. The
//! reference overlooks a last character that isn't one of those; files so named exist, so we overlook it too, unless it could
//! lead out of the directory.

use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Store;
use super::options::Durability;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::atomic::rename_over;
use crate::locks::ThreadKey;

impl Store {
    /// The keys of the data of the layer called `wanted`. Takes no lock.
    pub fn big_data_names(&self, wanted: &str) -> Result<Vec<String>> {
        Ok(self.lookup(wanted)?.big_data_names.clone())
    }

    /// Opens the data `name` of the layer called `wanted`. Takes no lock. Fails with [`Kind::NotFound`] when there is none.
    pub fn open_big_data(&self, wanted: &str, name: &str) -> Result<File> {
        let layer = self.lookup(wanted)?;
        let path = self.data_dir(layer.layer_id()?.as_str()).join(file_name(name)?);
        let opened = if layer.big_data_names.iter().any(|own| own == name) {
            File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path)
        } else {
            Err(std::io::Error::from_raw_os_error(libc::ENOENT))
        };
        opened.os("open data", &path).map_err(|error| {
            error
                .detail(format!("layer {} has no data called {name:?}", layer.id))
                .remedy("`lamina list-layer-data` lists the keys")
        })
    }

    /// The data `name` of the layer called `wanted`. Takes no lock.
    pub fn big_data(&self, wanted: &str, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_big_data(wanted, name)?.read_to_end(&mut bytes).os("read", name)?;
        Ok(bytes)
    }

    /// Replaces the data `name` of the layer called `wanted` by what `data` gives. It is written in staging, without a lock;
    /// `layers.lock` is held exclusively to put it in place. Fails with [`Kind::InvalidBigDataName`].
    pub fn set_big_data(&self, key: &mut ThreadKey, wanted: &str, name: &str, data: &mut dyn Read) -> Result<()> {
        let file_name = file_name(name)?;
        let place = self.side_places().create()?;
        let staged = place.path().join("data");
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&staged).os("open", &staged)?;
        std::io::copy(data, &mut file).os("write", &staged)?;
        if self.durability != Durability::None {
            file.sync_data().os("fdatasync", &staged)?;
        }
        self.change(key, wanted, "set data", |edit, layer| {
            let directory = self.data_dir(layer.layer_id()?.as_str());
            DirBuilder::new().recursive(true).mode(0o700).create(&directory).os("mkdir", &directory)?;
            place.check()?;
            rename_over(&staged, &directory.join(&file_name))?;
            if !layer.big_data_names.iter().any(|own| own == name) {
                edit.update(&layer.id, |layer| layer.big_data_names.push(name.to_owned()));
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// The file name of a key. Fails with [`Kind::InvalidBigDataName`] for a key that is empty or would lead elsewhere.
fn file_name(key: &str) -> Result<String> {
    let plain = |character: char| matches!(character, '.' | '0'..='9' | 'a'..='z');
    let odd = key.char_indices().find(|(_, character)| !plain(*character));
    let name = match odd {
        // The reference sees an odd character only when something follows it.
        Some((at, character)) if at + character.len_utf8() < key.len() => format!("={}", STANDARD.encode(key)),
        _ => key.to_owned(),
    };
    if name.is_empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0') || name.len() > 255 {
        return Err(Error::new(Kind::InvalidBigDataName, "check data key")
            .detail(format!("{key:?} can't be a key"))
            .remedy("use another key"));
    }
    Ok(name)
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
    fn keys_that_lead_elsewhere_are_refused() {
        for key in ["", ".", "..", "a/"] {
            assert_eq!(file_name(key).map_err(|error| error.kind()), Err(Kind::InvalidBigDataName), "{key:?}");
        }
    }
}
