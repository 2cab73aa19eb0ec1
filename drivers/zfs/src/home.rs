//! Where the driver keeps what.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::{TempDir, TempDirs};
use storage_core::ids::{LayerId, random_name};

use crate::datasets::{Datasets, OURS};
use crate::listing::Dataset;

/// What separates our own name from the layer's, where the dataset was a layer before it was replaced.
const WAS: &str = ":was:";

/// The driver's home, with the datasets that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
    pub(crate) datasets: Datasets,
    /// What tells this home from all others that have datasets below the same root.
    id: Arc<OnceLock<String>>,
}

/// Whose a dataset or a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This home's.
    Ours,
    /// It doesn't say: the reference made it, or somebody who knows nothing of layers.
    Unknown,
    /// Another home's.
    Others,
}

impl Home {
    pub(crate) fn new(root: impl Into<PathBuf>, datasets: Datasets) -> Self {
        Home { root: root.into(), datasets, id: Arc::default() }
    }

    /// Makes what is missing of the home.
    pub(crate) fn make(&self) -> Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root).os("mkdir", &self.root)
    }

    /// The id of this home, which is made when first needed and stays with it.
    pub(crate) fn id(&self) -> Result<&str> {
        if let Some(id) = self.known_id()? {
            return Ok(id);
        }
        let place = self.tempdirs().create()?;
        let made = place.path().join(ID);
        std::fs::write(&made, random_name(b"0123456789abcdef", 32)?).os("write", &made)?;
        std::fs::File::open(&made).and_then(|file| file.sync_all()).os("fsync", &made)?;
        match place.move_out(ID, &self.root.join(ID)) {
            // Somebody else was first.
            Err(error) if error.errno() != Some(libc::EEXIST) => return Err(error),
            _ => {}
        }
        let lost = || Error::new(Kind::Corrupt, "read the id of the home").at(self.root.join(ID)).detail("it is empty");
        self.known_id()?.ok_or_else(lost)
    }

    /// The same, `None` when there is none yet: then nothing is this home's.
    fn known_id(&self) -> Result<Option<&str>> {
        if self.id.get().is_none() {
            let Some(id) = read_id(&self.root.join(ID))? else { return Ok(None) };
            let _ = self.id.set(id);
        }
        Ok(self.id.get().map(String::as_str))
    }

    /// Whose something is that says `owner`.
    pub(crate) fn owner(&self, owner: Option<&str>) -> Result<Owner> {
        Ok(match (owner, self.known_id()?) {
            (None, _) => Owner::Unknown,
            (Some(owner), Some(id)) if owner == id => Owner::Ours,
            (Some(_), _) => Owner::Others,
        })
    }

    /// Where the layer is mounted.
    pub(crate) fn mount_point(&self, id: &LayerId) -> PathBuf {
        self.mount_points().join(id.as_str())
    }

    /// The directory with the layers' mount points.
    pub(crate) fn mount_points(&self) -> PathBuf {
        self.root.join("graph")
    }

    /// The dataset of a layer. Fails with [`Kind::NotFound`] when it has none.
    pub(crate) fn dataset(&self, id: &LayerId) -> Result<Dataset> {
        if is_ours(id.as_str()) {
            return Err(Error::new(Kind::NotFound, "find dataset").detail(format!("{id} can't be a layer")));
        }
        self.datasets.get(id.as_str())
    }

    pub(crate) fn tempdirs(&self) -> TempDirs {
        TempDirs::new(self.root.join("tempdirs"))
    }

    /// Whether somebody alive has the staging or trash place whose datasets and snapshots are called `ours`.
    pub(crate) fn is_held(&self, ours: &str) -> bool {
        let Some(suffix) = suffix_of(ours) else { return true };
        // Who makes a place makes its lock first, and a sweep takes the lock away with what is dead.
        self.tempdirs().root().join(format!("lock-{suffix}")).exists()
    }
}

/// The file with the id of a home.
const ID: &str = "lamina-id";

fn read_id(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.os("read", path)?;
            let id = text.trim();
            let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if plain {
                return Ok(Some(id.to_owned()));
            }
            Err(Error::new(Kind::Corrupt, "read the id of the home")
                .at(path)
                .detail("it is no hexadecimal number")
                .remedy("put back what stands in the property lamina:home of the layers' datasets"))
        }
    }
}

/// Whether a name is that of a staging or trash place, not of a layer.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// What datasets and snapshots that belong to `place` are called.
pub(crate) fn name_of(place: &TempDir) -> String {
    let path = place.path();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{OURS}{}", name.strip_prefix("temp-dir-").unwrap_or(&name))
}

/// What the former content of a layer is called, in trash at `ours`.
pub(crate) fn former_name(ours: &str, id: &str) -> String {
    format!("{ours}{WAS}{id}")
}

/// The layer that a dataset in trash was before it was replaced.
pub(crate) fn former_layer(ours: &str) -> Option<&str> {
    ours.strip_prefix(OURS)?.split_once(WAS).map(|(_, id)| id)
}

fn suffix_of(ours: &str) -> Option<&str> {
    let rest = ours.strip_prefix(OURS)?;
    Some(rest.split_once(':').map_or(rest, |(suffix, _)| suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_tell_the_place_and_the_layer_that_was() {
        let former = former_name("lamina:123", "abc");
        assert_eq!(former, "lamina:123:was:abc");
        assert!(is_ours(&former) && !is_ours("lamina-123"));
        assert_eq!((former_layer(&former), suffix_of(&former)), (Some("abc"), Some("123")));
        assert_eq!((former_layer("lamina:123"), suffix_of("lamina:123")), (None, Some("123")));
    }

    #[test]
    fn a_home_has_one_id_and_knows_what_is_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = || Home::new(dir.path(), Datasets::new(Arc::new(crate::command::Installed), "p/r"));
        assert_eq!(home().owner(Some("abc")).expect("owner"), Owner::Others, "nothing is a new home's");
        let (first, second) = (home(), home());
        let id = first.id().expect("an id").to_owned();
        assert_eq!((second.id().expect("the same"), home().id().expect("again")), (id.as_str(), id.as_str()));
        let whose = [Some(id.as_str()), None, Some("abc")].map(|owner| second.owner(owner).expect("owner"));
        assert_eq!(whose, [Owner::Ours, Owner::Unknown, Owner::Others]);
        std::fs::write(dir.path().join(ID), "").expect("write");
        assert_eq!(home().id().map_err(|error| error.kind()).err(), Some(Kind::Corrupt));
    }
}
