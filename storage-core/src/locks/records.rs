//! Records of one level: which files hold them, and the state machines that load and save them.
//!
//! *Load*: read each file with its version, parse them into one immutable table. Without a lock, the versions are looked at
//! once more after the last was read, so that the table is one moment; with the lock held nothing can change in between.
//!
//! *Save*: say it, then do it (R4): the last-writer record first, then each file replaced atomically. A writer that dies
//! in between leaves "changed" visible and either the former or the new version of each file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::world::{Flush, World};
use crate::error::{Error, Kind, Result};
use crate::lockfile::Hold;

/// An immutable table of records, parsed from one or more files.
pub trait Table: Sized + Send + Sync + 'static {
    /// What a load is called in errors.
    const LOADING: &'static str;

    /// The table that `files` hold, in order. An error names the file by its path.
    fn parse(files: &[RecordBytes<'_>]) -> Result<Self>;

    /// The bytes of file number `file`.
    fn serialise(&self, file: usize) -> Vec<u8>;
}

/// What a file of records holds.
#[derive(Clone, Copy, Debug)]
pub struct RecordBytes<'a> {
    /// Where the file is.
    pub path: &'a Path,
    /// Its bytes; none where there is no file.
    pub bytes: Option<&'a [u8]>,
}

/// No records at all: a level that protects something else.
#[derive(Debug)]
pub struct NoRecords;

impl Table for NoRecords {
    const LOADING: &'static str = "load nothing";

    fn parse(_files: &[RecordBytes<'_>]) -> Result<Self> {
        Ok(NoRecords)
    }

    fn serialise(&self, _file: usize) -> Vec<u8> {
        Vec::new()
    }
}

/// A file of records.
#[derive(Clone, Debug)]
pub struct RecordFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is flushed when it is written.
    pub flush: Flush,
}

/// A table, and the versions of the files that it was parsed from.
#[derive(Debug)]
pub(super) struct Loaded<T, W: World> {
    pub(super) table: Arc<T>,
    pub(super) seen: Vec<Option<Arc<W::Seen>>>,
}

/// Versions of the files that can't be understood, and why.
#[derive(Debug)]
pub(super) struct Broken<W: World> {
    pub(super) seen: Vec<Option<Arc<W::Seen>>>,
    pub(super) error: Error,
}

/// Whether every file is the version that was seen.
pub(super) fn all_current<W: World>(world: &W, files: &[RecordFile], seen: &[Option<Arc<W::Seen>>]) -> Result<bool> {
    for (file, seen) in files.iter().zip(seen) {
        if !world.is_current(&file.path, seen.as_deref())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How often a load without a lock is tried before it says that the files keep changing.
const UNLOCKED_TRIES: usize = 20;

impl<T: Table, W: World> Loaded<T, W> {
    /// Whether every file is still the version that was parsed.
    pub(super) fn is_current(&self, world: &W, files: &[RecordFile]) -> Result<bool> {
        all_current(world, files, &self.seen)
    }

    /// Loads while the lock is held: nothing changes meanwhile.
    pub(super) fn load(world: &W, files: &[RecordFile]) -> Result<Self> {
        Self::load_by(world, files, T::parse)
    }

    /// As [`Loaded::load`], with another way to understand the files.
    pub(super) fn load_by(
        world: &W,
        files: &[RecordFile],
        parse: impl FnOnce(&[RecordBytes<'_>]) -> Result<T>,
    ) -> Result<Self> {
        Self::load_or_tell(world, files, parse)?.map_err(|broken| broken.error)
    }

    /// As [`Loaded::load_by`], but of what can't be understood the versions are told as well.
    pub(super) fn load_or_tell(
        world: &W,
        files: &[RecordFile],
        parse: impl FnOnce(&[RecordBytes<'_>]) -> Result<T>,
    ) -> Result<std::result::Result<Self, Broken<W>>> {
        let (mut contents, mut seen) = (Vec::new(), Vec::new());
        for file in files {
            let (content, version) = world.read(&file.path)?.unzip();
            contents.push(content);
            seen.push(version.map(Arc::new));
        }
        let bytes: Vec<_> = files
            .iter()
            .zip(&contents)
            .map(|(file, content)| RecordBytes { path: &file.path, bytes: content.as_deref() })
            .collect();
        Ok(match parse(&bytes) {
            Ok(table) => Ok(Loaded { table: Arc::new(table), seen }),
            Err(error) => Err(Broken { seen, error }),
        })
    }

    /// Loads without a lock. `None` when the files kept changing, or when what was read can't be understood: both are told
    /// apart by a load under the lock.
    pub(super) fn load_unlocked(world: &W, files: &[RecordFile]) -> Result<Option<Self>> {
        for _ in 0..UNLOCKED_TRIES {
            let loaded = match Self::load(world, files) {
                Ok(loaded) => loaded,
                Err(error) if error.kind() == Kind::Corrupt => return Ok(None),
                Err(error) => return Err(error),
            };
            if files.len() < 2 || loaded.is_current(world, files)? {
                return Ok(Some(loaded));
            }
        }
        Ok(None)
    }

    /// Saves `table`: the record of the write, then the files of `changed`. On failure the files that were replaced before
    /// it stay replaced; the caller loads anew.
    pub(super) fn save(
        &self,
        world: &W,
        holds: &[Hold<W::Files>],
        files: &[RecordFile],
        table: Arc<T>,
        changed: &[usize],
    ) -> Result<Self> {
        for hold in holds {
            world.record_write(hold)?;
        }
        let mut seen = self.seen.clone();
        for &number in changed {
            let file = files.get(number).ok_or_else(|| Error::new(Kind::Io, "save records").detail("no such file"))?;
            let version = world.replace(&file.path, &table.serialise(number), file.flush)?;
            if let Some(place) = seen.get_mut(number) {
                *place = Some(Arc::new(version));
            }
        }
        Ok(Loaded { table, seen })
    }
}
