//! One layer of a chain, held open.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use storage_core::driver::{self, Ancestor, Homes, Pin, PinnedDir};
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
    pub(crate) layer: Ancestor,
    pub(crate) pin: PinnedDir,
    /// The driver's home.
    root: PathBuf,
    diffs: Vec<Diff>,
}

#[derive(Debug)]
struct Diff {
    name: String,
    id: FileId,
    /// In an additional store, whose owner might put a link in its place, the directory is held open.
    fd: Option<OwnedFd>,
}

impl Part {
    /// Pins the layer `id`. Fails by name when the layer is one that this driver doesn't read.
    pub(crate) fn open(homes: &Homes<Home>, id: &LayerId, home: driver::Home) -> Result<Arc<Self>> {
        let place = homes.of(home)?;
        let pin = PinnedDir::open_in(home, place.root(), place.layer(id))?;
        if !home.is_writable() {
            place.check_native()?;
        }
        for (name, meaning) in FOREIGN {
            if stat(&pin, name)?.is_some() {
                return Err(Error::new(Kind::NotSupported, "read layer")
                    .at(pin.path())
                    .detail(format!("layer {id} is {meaning}"))
                    .remedy("use the program that made it"));
            }
        }
        let mut diffs = Vec::new();
        while let Some(diff) = Diff::open(&pin, diff_name(diffs.len()), home)? {
            diffs.push(diff);
        }
        if diffs.is_empty() {
            return Err(Error::new(Kind::NotFound, "read layer").at(pin.path().join("diff")).detail("it is missing"));
        }
        Ok(Arc::new(Part { layer: Ancestor { id: id.clone(), home }, pin, root: place.root().to_path_buf(), diffs }))
    }

    /// The identity of the layer's `diff`.
    pub(crate) fn diff_id(&self) -> FileId {
        self.diffs[0].id
    }

    /// Whether all of the layer's own changes are in `diff`.
    pub(crate) fn is_single(&self) -> bool {
        self.diffs.len() == 1
    }

    /// Pins the layer's changes too: they can be replaced while nothing stands on them.
    pub(crate) fn pin_changes(&self) -> Result<PinnedDir> {
        PinnedDir::open_in(self.layer.home, &self.root, self.pin.path().join("diff"))
    }

    /// Another hold on the layer's directory, to outlive this.
    pub(crate) fn pin_again(&self) -> Result<PinnedDir> {
        PinnedDir::open_in(self.layer.home, &self.root, self.pin.path())
    }

    /// The directories to stack, the topmost first.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        self.diffs.iter().map(|diff| self.source(diff))
    }

    /// The layer's `empty` directory, which base layers have. One of an additional store is nothing to rely on.
    pub(crate) fn empty(&self) -> Result<Option<Source>> {
        if !self.layer.home.is_writable() {
            return Ok(None);
        }
        let empty = Diff::open(&self.pin, "empty".to_owned(), self.layer.home)?;
        Ok(empty.map(|empty| self.source(&empty)))
    }

    fn source(&self, diff: &Diff) -> Source {
        let held = match &diff.fd {
            Some(fd) => Path::new("/proc/thread-self/fd").join(fd.as_raw_fd().to_string()),
            None => self.pin.held_path(&diff.name),
        };
        Source {
            path: self.pin.path().join(&diff.name),
            held: Some(held),
            short: (self.layer.home == driver::Home::Own).then(|| Path::new(self.layer.id.as_str()).join(&diff.name)),
            id: Some(diff.id),
            mapped: None,
        }
    }
}

impl Pin for Part {
    fn check(&self) -> Result<()> {
        self.pin.check()?;
        for diff in &self.diffs {
            if directory(&self.pin, &diff.name)? != Some(diff.id) {
                return Err(self.pin.changed());
            }
        }
        Ok(())
    }
}

impl Diff {
    /// The directory `name` of a layer, if it has one.
    fn open(pin: &PinnedDir, name: String, home: driver::Home) -> Result<Option<Self>> {
        let Some(id) = directory(pin, &name)? else { return Ok(None) };
        if home.is_writable() {
            return Ok(Some(Diff { name, id, fd: None }));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = pin.path().join(&name);
        let fd = rustix::fs::openat(pin.as_fd(), name.as_str(), flags, Mode::empty()).os("openat(directory)", &path)?;
        Ok(Some(Diff { id: FileId::of_fd(&fd, &path)?, name, fd: Some(fd) }))
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
