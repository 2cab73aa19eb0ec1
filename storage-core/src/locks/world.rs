//! The seam: what the protocol needs of the world.
//!
//! Statically dispatched: files of records here, lock files and staging places in [`crate::fs::Files`], and the lock that
//! threads of one process exclude each other with. [`Kernel`] is the real world. In a simulated one a dead process's every
//! further call, drops included, does nothing.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::lock_api::RawRwLock;

use super::seen::SeenFile;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath::open_in_store;
use crate::fs::{Disk, FileId};
use crate::lockfile::{Hold, LastWrite, LockFiles};

/// Whether a replaced file is flushed before it takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// It survives power loss once the call returns (with [`World::flush_directory`] for its name).
    Data,
    /// It may be lost with the machine's power.
    Nothing,
}

/// What the lock protocol asks of the outside.
pub trait World: Clone + Debug + Send + Sync + 'static {
    /// Its lock files and staging places.
    type Files: LockFiles;
    /// What threads of one process exclude each other with.
    type Raw: RawRwLock + Send + Sync + 'static;
    /// What identifies the version of a file that was read; as long as it lives, no other version can be taken for it.
    type Seen: Debug + Send + Sync;

    /// Records a write of ours in a lock that is held for writing.
    fn record_write(&self, hold: &Hold<Self::Files>) -> Result<LastWrite> {
        hold.record_write()
    }
    /// The bytes at `path` and their version; `None` when there is no file.
    fn read(&self, path: &Path) -> Result<Option<(Vec<u8>, Self::Seen)>>;
    /// Whether `path` still names the version that was seen (`None`: no file).
    fn is_current(&self, path: &Path, seen: Option<&Self::Seen>) -> Result<bool>;
    /// Replaces `path` by `bytes`, atomically, and returns the version that it has become.
    fn replace(&self, path: &Path, bytes: &[u8], flush: Flush) -> Result<Self::Seen>;
    /// Makes the names in a directory survive power loss.
    fn flush_directory(&self, path: &Path) -> Result<()>;
    /// Removes a file; none there is no error.
    fn unlink(&self, path: &Path) -> Result<()>;
    /// Lets others go on before something is tried again.
    fn pause(&self, length: Duration);
}

/// Whether what the kernel says of an open file can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// It tells of every change at once, as on a local filesystem.
    #[default]
    Prompt,
    /// It may tell old news until the file is opened anew, as on a network filesystem.
    Delayed,
}

impl Sight {
    /// That of files which stand in two places.
    #[must_use]
    pub fn or(self, other: Sight) -> Sight {
        if self == Sight::Prompt { other } else { self }
    }
}

/// The real world.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    reserve: Option<PathBuf>,
    sight: Sight,
    /// The store that somebody else writes, out of which nothing is read.
    stranger: Option<PathBuf>,
}

/// The name of the file whose blocks are kept for a save on a full disk.
pub(crate) const RESERVE_NAME: &str = "lamina-reserve";
/// The largest file of records that is read of another's store: those of some hundred thousand layers.
const MOST_OF_STRANGER: u64 = 128 << 20;
/// How much is kept: the records of some thousand layers.
const RESERVE_BYTES: u64 = 1 << 20;

impl Kernel {
    /// The real world.
    pub fn new() -> Self {
        Kernel::default()
    }

    /// Keeps room in `directory` for a save on a full disk: a file of blocks that becomes the new version when no
    /// other can be written. See `docs/on-disk.md`.
    pub fn with_reserve_in(directory: &Path) -> Self {
        Kernel { reserve: Some(directory.join(RESERVE_NAME)), ..Kernel::default() }
    }

    /// Reads below `store`, where somebody else writes who isn't trusted: nothing outside it, and no file without bounds.
    pub fn of_stranger(store: &Path) -> Self {
        Kernel { stranger: Some(store.to_path_buf()), ..Kernel::default() }
    }

    /// Looks at files as `sight` says.
    pub fn seeing(mut self, sight: Sight) -> Self {
        self.sight = sight;
        self
    }

    /// Makes the reserve if it is missing or too small. A disk too full for it is no error: it is tried at the next write.
    pub fn refill_reserve(&self) {
        let Some(path) = &self.reserve else { return };
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.blocks() * 512 >= RESERVE_BYTES) {
            return;
        }
        let made = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
        let filled = made.and_then(|file| fs2::FileExt::allocate(&file, RESERVE_BYTES));
        if filled.is_err() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Opens a file for reading, which never waits.
    fn open(&self, path: &Path) -> Result<File> {
        if let Some(store) = &self.stranger {
            return open_in_store(store, path);
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        File::options().read(true).custom_flags(flags).open(path).os("open", path)
    }

    /// Gives the reserve back to the disk. Where no file is written in place (btrfs), a few bytes in a lock file need room too.
    /// Whether there was something to give. Blocks that were freed are of use once the filesystem has noted that, so it is
    /// asked to.
    fn give_up_reserve(&self) -> bool {
        let Some(path) = &self.reserve else { return false };
        let freed = std::fs::metadata(path).is_ok_and(|found| found.blocks() > 0) && std::fs::remove_file(path).is_ok();
        let directory = path.parent().filter(|_| freed).and_then(|parent| File::open(parent).ok());
        directory.is_some_and(|directory| rustix::fs::syncfs(directory).is_ok())
    }

    fn write_new(path: &Path, bytes: &[u8], flush: Flush) -> Result<SeenFile> {
        let temporary = temporary_path(path);
        let written = File::options()
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_NOFOLLOW)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)
            .os("open", &temporary)
            .and_then(|file| Self::fill(file, &temporary, path, bytes, flush));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn write_reserve(reserve: &Path, path: &Path, bytes: &[u8], flush: Flush) -> Result<SeenFile> {
        let file = File::options().read(true).write(true).open(reserve).os("open", reserve)?;
        Self::fill(file, reserve, path, bytes, flush)
    }

    fn fill(mut file: File, temporary: &Path, path: &Path, bytes: &[u8], flush: Flush) -> Result<SeenFile> {
        file.write_all(bytes).os("write", temporary)?;
        file.set_len(bytes.len() as u64).os("ftruncate", temporary)?;
        if flush == Flush::Data {
            file.sync_data().os("fdatasync", temporary)?;
        }
        crate::fs::atomic::rename_over(temporary, path)?;
        crate::record::wrote(path);
        SeenFile::of(file, path)
    }
}

/// Where the next version of `path` is written: only the holder of the level's lock does, so one name is enough, and what a
/// killed writer left is written over by the next one.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".tmp-{name}-lamina"))
}

impl World for Kernel {
    type Files = Disk;
    type Raw = parking_lot::RawRwLock;
    type Seen = SeenFile;

    fn record_write(&self, hold: &Hold) -> Result<LastWrite> {
        match hold.record_write() {
            Err(error) if error.kind() == Kind::NoSpace && self.give_up_reserve() => hold.record_write(),
            result => result,
        }
    }

    fn read(&self, path: &Path) -> Result<Option<(Vec<u8>, SeenFile)>> {
        let file = match self.open(path) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata().os("fstat", path)?;
        let refused = |why: String| Err(Error::new(Kind::NotSupported, "read records").at(path).detail(why));
        if !metadata.is_file() {
            return refused("it is no regular file".to_owned());
        }
        let most = if self.stranger.is_some() { MOST_OF_STRANGER } else { u64::MAX };
        let mut bytes = Vec::new();
        if metadata.len() < most {
            (&file).take(most).read_to_end(&mut bytes).os("read", path)?;
        }
        if metadata.len() >= most || bytes.len() as u64 == most {
            return refused(format!("it is larger than the {most} bytes that are read of an additional store's"));
        }
        Ok(Some((bytes, SeenFile::of(file, path)?)))
    }

    fn is_current(&self, path: &Path, seen: Option<&SeenFile>) -> Result<bool> {
        match (seen, self.sight) {
            (Some(seen), Sight::Prompt) => seen.is_at(path),
            (Some(seen), Sight::Delayed) => seen.is_reopened_at(path),
            (None, _) => Ok(FileId::of_path(path)?.is_none()),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8], flush: Flush) -> Result<SeenFile> {
        match (Self::write_new(path, bytes, flush), &self.reserve) {
            (Err(error), Some(reserve)) if error.kind() == Kind::NoSpace && bytes.len() as u64 <= RESERVE_BYTES => {
                // The first error says more than that of a reserve which isn't there.
                Self::write_reserve(reserve, path, bytes, flush).map_err(|_| error)
            }
            (result, _) => result,
        }
    }

    fn flush_directory(&self, path: &Path) -> Result<()> {
        File::open(path).and_then(|directory| directory.sync_all()).os("fsync directory", path)
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::os("unlink", path, error)),
            _ => Ok(()),
        }
    }

    fn pause(&self, length: Duration) {
        std::thread::sleep(length);
    }
}
