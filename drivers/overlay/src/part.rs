//! One layer of a chain, held open.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use storage_core::driver::{Pin, PinnedDir};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::FileId;
use storage_core::ids::LayerId;
use storage_core::mount::Source;

use crate::home::Home;

/// Files that say that a layer was made in a way that this driver doesn't read, with what they mean.
const FOREIGN: &[(&str, &str)] =
    &[("composefs-data", "a composefs layer"), ("additionallayer", "a layer of an additional layer store")];

/// A layer's directory, pinned, with its changes: `diff`, and `diff1` … below it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) id: LayerId,
    pub(crate) pin: PinnedDir,
    diffs: Vec<(String, FileId)>,
}

impl Part {
    /// Pins the layer `id`. Fails by name when the layer is one that this driver doesn't read.
    pub(crate) fn open(home: &Home, id: &LayerId) -> Result<Arc<Self>> {
        let pin = PinnedDir::open(home.layer(id))?;
        for (name, meaning) in FOREIGN {
            if stat(&pin, name)?.is_some() {
                return Err(Error::new(Kind::NotSupported, "read layer")
                    .at(pin.path())
                    .detail(format!("layer {id} is {meaning}"))
                    .remedy("use the program that made it"));
            }
        }
        let mut diffs = Vec::new();
        while let Some(id) = directory(&pin, &diff_name(diffs.len()))? {
            diffs.push((diff_name(diffs.len()), id));
        }
        if diffs.is_empty() {
            return Err(Error::new(Kind::NotFound, "read layer").at(pin.path().join("diff")).detail("it is missing"));
        }
        Ok(Arc::new(Part { id: id.clone(), pin, diffs }))
    }

    /// The identity of the layer's `diff`.
    pub(crate) fn diff_id(&self) -> FileId {
        self.diffs[0].1
    }

    /// Whether all of the layer's own changes are in `diff`.
    pub(crate) fn is_single(&self) -> bool {
        self.diffs.len() == 1
    }

    /// The directories to stack, the topmost first.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        self.diffs.iter().map(|(name, id)| self.source(name, *id))
    }

    /// The layer's `empty` directory, which base layers have.
    pub(crate) fn empty(&self) -> Result<Option<Source>> {
        Ok(directory(&self.pin, "empty")?.map(|id| self.source("empty", id)))
    }

    fn source(&self, name: &str, id: FileId) -> Source {
        Source {
            path: self.pin.path().join(name),
            held: Some(self.pin.held_path(name)),
            short: Some(PathBuf::from(self.id.as_str()).join(name)),
            id: Some(id),
            mapped: None,
        }
    }
}

impl Pin for Part {
    fn check(&self) -> Result<()> {
        self.pin.check()?;
        for (name, id) in &self.diffs {
            if directory(&self.pin, name)? != Some(*id) {
                return Err(self.pin.changed());
            }
        }
        Ok(())
    }
}

fn diff_name(index: usize) -> String {
    if index == 0 { "diff".to_owned() } else { format!("diff{index}") }
}

fn stat(pin: &PinnedDir, name: &str) -> Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(pin.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).os("fstatat", pin.path().join(name)),
    }
}

/// The directory `name` of a layer. Something else of that name is refused: a link would lead who knows where.
fn directory(pin: &PinnedDir, name: &str) -> Result<Option<FileId>> {
    let Some(stat) = stat(pin, name)? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::new(Kind::Corrupt, "read layer").at(pin.path().join(name)).detail("it is no directory"));
    }
    Ok(Some(FileId { dev: stat.st_dev, ino: stat.st_ino }))
}
