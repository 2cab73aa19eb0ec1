//! The lower half of the seam: what lock files and staging places need of the outside.
//!
//! A dozen and a half small operations, statically dispatched. [`Disk`] is the real thing and holds nothing; in a simulated
//! world they are what threads can be switched at, and a dead process's further calls do nothing.
#![allow(clippy::disallowed_methods, reason = "flock is for files that only Lamina locks so")]

use std::fmt::Debug;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use super::FileId;
use super::remove::{clear_marks, remove_tree};
use super::tempdir::{is_viewed, rename_no_replace};
use crate::error::{Error, OsContext, Result};
use crate::ids::random_name;
use crate::sys::ofd::{self, Mode};
use crate::task::Task;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To lock it; it is made if it is missing.
    Lock,
    /// To lock it for reading; it is made if it is missing, since the first reader of a store may come before its first
    /// writer.
    LockForReading,
    /// To lock it; it must not be there yet.
    NewLock,
    /// To wait for a turn at it; it is made if it is missing. Only Lamina knows it.
    Turn,
}

/// Which locks exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Those that the reference sees: of an open file description, over the whole file.
    Record,
    /// Those that only Lamina looks at (`flock`).
    Own,
}

/// What lock files and staging places ask of the outside.
pub trait Files: Clone + Debug + Send + Sync + 'static {
    /// An open file description. Dropping it closes it, which releases its locks.
    type File: Debug + Send + Sync;

    /// The descriptor of an open file, where there is a real one.
    fn descriptor<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>>;
    /// Opens a lock file. A link in its place is not followed.
    fn open(&self, path: &Path, opening: Opening) -> Result<Self::File>;
    /// Takes a lock if nobody is in the way; `false` if somebody is.
    fn try_lock(&self, file: &Self::File, path: &Path, protocol: Protocol, mode: Mode) -> Result<bool>;
    /// Waits for a lock, for ever if need be.
    fn lock(&self, file: &Self::File, path: &Path, protocol: Protocol, mode: Mode) -> Result<()>;
    /// Reads into `buffer`; returns how much, which is less than asked for at the end of the file.
    fn read_at(&self, file: &Self::File, path: &Path, buffer: &mut [u8], offset: u64) -> Result<usize>;
    /// Writes all of `bytes` to the file's beginning.
    fn write_start(&self, file: &Self::File, path: &Path, bytes: &[u8]) -> Result<()>;
    /// The identity of an open file.
    fn id_of(&self, file: &Self::File, path: &Path) -> Result<FileId>;
    /// The identity of what stands at `path`, or `None` when nothing does.
    fn id_at(&self, path: &Path) -> Result<Option<FileId>>;
    /// The names in a directory; none when there is no directory.
    fn names(&self, directory: &Path) -> Result<Vec<String>>;
    /// Makes a directory that only its owner may enter; it must not be there yet.
    fn make_directory(&self, path: &Path) -> Result<()>;
    /// Makes a directory that only its owner may enter, and what is missing above it.
    fn make_directories(&self, path: &Path) -> Result<()>;
    /// Renames, and fails where something stands at the target.
    fn rename_new(&self, from: &Path, to: &Path) -> Result<()>;
    /// Lets two things change places in one step.
    fn exchange(&self, one: &Path, other: &Path) -> Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes a tree or a file; none there is no error.
    fn remove_tree(&self, path: &Path, task: &Task) -> Result<()>;
    /// Whether somebody has a view of the trash at `path`.
    fn is_viewed(&self, path: &Path) -> Result<bool>;
    /// Takes away what keeps `path` from being renamed; whether there was something.
    fn clear_marks(&self, path: &Path) -> bool;
    /// A name that nobody else takes, as far as chance allows.
    fn fresh_name(&self) -> Result<String>;
}

/// The real files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    type File = File;

    fn descriptor<'f>(&self, file: &'f File) -> Option<BorrowedFd<'f>> {
        Some(file.as_fd())
    }

    fn open(&self, path: &Path, opening: Opening) -> Result<File> {
        let mut options = File::options();
        let (mode, flags) = match opening {
            Opening::Lock | Opening::NewLock => (0o644, libc::O_NOFOLLOW),
            // std refuses to make a file that is opened for reading, so the flag is given by hand.
            Opening::LockForReading => (0o644, libc::O_NOFOLLOW | libc::O_CREAT),
            Opening::Turn => (0o600, 0),
        };
        options.read(opening != Opening::Turn).write(opening != Opening::LockForReading);
        options.create(matches!(opening, Opening::Lock | Opening::Turn)).create_new(opening == Opening::NewLock);
        options.truncate(false).mode(mode).custom_flags(flags).open(path).os("open lock file", path)
    }

    fn try_lock(&self, file: &File, path: &Path, protocol: Protocol, mode: Mode) -> Result<bool> {
        match (protocol, mode) {
            (Protocol::Record, _) => ofd::try_lock(file, mode).os("fcntl(F_OFD_SETLK)", path),
            (Protocol::Own, Mode::Shared) => Ok(fs2::FileExt::try_lock_shared(file).is_ok()),
            (Protocol::Own, Mode::Exclusive) => Ok(fs2::FileExt::try_lock_exclusive(file).is_ok()),
        }
    }

    fn lock(&self, file: &File, path: &Path, protocol: Protocol, mode: Mode) -> Result<()> {
        loop {
            let locked = match (protocol, mode) {
                (Protocol::Record, _) => return ofd::lock(file, mode).os("fcntl(F_OFD_SETLKW)", path),
                (Protocol::Own, Mode::Shared) => fs2::FileExt::lock_shared(file),
                (Protocol::Own, Mode::Exclusive) => fs2::FileExt::lock_exclusive(file),
            };
            match locked {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.os("flock", path),
            }
        }
    }

    fn read_at(&self, file: &File, path: &Path, buffer: &mut [u8], offset: u64) -> Result<usize> {
        file.read_at(buffer, offset).os("pread", path)
    }

    fn write_start(&self, file: &File, path: &Path, bytes: &[u8]) -> Result<()> {
        file.write_all_at(bytes, 0).os("pwrite", path)
    }

    fn id_of(&self, file: &File, path: &Path) -> Result<FileId> {
        FileId::of_fd(file, path)
    }

    fn id_at(&self, path: &Path) -> Result<Option<FileId>> {
        FileId::of_path(path)
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).os("read directory", directory),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that isn't text is none of ours.
            names.extend(entry.os("read directory", directory)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn make_directory(&self, path: &Path) -> Result<()> {
        DirBuilder::new().mode(0o700).create(path).os("mkdir", path)
    }

    fn make_directories(&self, path: &Path) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).os("mkdir", path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<()> {
        rename_no_replace(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).os("renameat2(exchange)", other)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|error| Error::os("unlink", path, error))
    }

    fn remove_tree(&self, path: &Path, task: &Task) -> Result<()> {
        remove_tree(path, task)
    }

    fn is_viewed(&self, path: &Path) -> Result<bool> {
        is_viewed(path)
    }

    fn clear_marks(&self, path: &Path) -> bool {
        clear_marks(path)
    }

    fn fresh_name(&self) -> Result<String> {
        random_name(b"0123456789", 12)
    }
}
