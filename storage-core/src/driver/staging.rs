//! What drivers that stage in a directory have in common: the place, and how what was made in it becomes a layer.

use std::path::{Path, PathBuf};

use super::{Pin, PinnedDir};
use crate::error::{Error, Kind, Result};
use crate::fs::tempdir::Trashed;
use crate::fs::{TempDir, TempDirs};

/// A private place in a home, with what a layer in the making started from.
#[derive(Debug)]
pub struct StagingPlace {
    dirs: TempDirs,
    place: TempDir,
    /// The directory that must still be there at the end, held so that nothing else can have its identity.
    origin: Option<PinnedDir>,
}

impl StagingPlace {
    /// A new place in `dirs`, for a layer that starts from what is at `origin`.
    pub fn new(dirs: TempDirs, origin: Option<PinnedDir>) -> Result<Self> {
        let place = dirs.create()?;
        Ok(StagingPlace { dirs, place, origin })
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// What the layer starts from.
    pub fn origin(&self) -> Option<&PinnedDir> {
        self.origin.as_ref()
    }

    /// Fails with [`Kind::Changed`] unless what the layer starts from is still there, the same.
    pub fn check_origin(&self) -> Result<()> {
        self.origin.as_ref().map_or(Ok(()), |origin| {
            origin.check().map_err(|error| {
                error.detail("the layer that the new one starts from is not the same any more").remedy("try again")
            })
        })
    }

    /// Renames `name` in it to `target`, where nothing stands yet.
    ///
    /// * Fails with [`Kind::Changed`] when the place or the origin is not what it was, with [`Kind::DuplicateId`] when
    ///   something stands at `target`.
    pub fn commit(&self, name: &str, target: &Path) -> Result<()> {
        self.check_origin()?;
        self.place.move_out(name, target).map_err(|error| match error.errno() {
            Some(libc::EEXIST) => Error::new(Kind::DuplicateId, "commit layer").at(target).because(error),
            _ => error,
        })
    }

    /// Takes away what [`StagingPlace::commit`] put at `target`, because the rest of the commit failed.
    pub fn take_back(&self, target: &Path) {
        // What can't be taken back now is named by the caller's intent, for the next writer.
        let _ = self.dirs.trash(target);
    }

    /// Exchanges `name` in it with `target` and nothing else: a part of a replacement.
    pub fn exchange(&self, name: &str, target: &Path) -> Result<()> {
        self.place.exchange(name, target)
    }

    /// Exchanges `name` in it with `target`, and returns what stood there, in trash. On failure all is as before.
    pub fn replace(&mut self, name: &str, target: &Path) -> Result<Option<Trashed>> {
        self.place.exchange(name, target)?;
        // The former content now lies where this was made.
        let former = self.dirs.trash(&self.path(name)).inspect_err(|_| {
            let _ = self.place.exchange(name, target);
        })?;
        // What it started from is trash now, which is left alone as long as somebody has a view of it.
        self.origin = None;
        Ok(former)
    }
}
