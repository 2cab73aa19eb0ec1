//! The hold that a view has on the directory of a layer.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::{Home, Pin};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath::in_store;
use crate::fs::{FileId, tempdir};

/// A layer's directory, open, with the shared hold that keeps sweepers of ours away.
#[derive(Debug)]
pub struct PinnedDir {
    path: PathBuf,
    id: FileId,
    dir: File,
}

impl PinnedDir {
    /// Pins the directory at `path`; a final link is not followed.
    ///
    /// * Fails with [`Kind::NotFound`] when nothing stands there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let pinned = Self::open_readable(path.into())?;
        // Only who reclaims trash holds it exclusively: then the directory has just been taken away.
        tempdir::hold_for_view(&pinned.dir, &pinned.path).map_err(|_| pinned.changed())?;
        pinned.check()?;
        Ok(pinned)
    }

    /// Pins the directory at `path` in `home`, which the driver has at `root`. In an additional store nothing is locked,
    /// nothing needs to be readable, and no link leads out of the store.
    pub fn open_in(home: Home, root: &Path, path: impl Into<PathBuf>) -> Result<Self> {
        if home.is_writable() {
            return Self::open(path);
        }
        let path = path.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = in_store(root.parent().unwrap_or(root), &path, flags).map_err(explain_descriptors)?;
        let id = FileId::of_fd(&dir, &path)?;
        Ok(PinnedDir { path, id, dir: dir.into() })
    }

    fn open_readable(path: PathBuf) -> Result<Self> {
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = File::options().read(true).custom_flags(flags).open(&path).os("open(directory)", &path);
        let dir = opened.map_err(explain_descriptors)?;
        let id = FileId::of_fd(&dir, &path)?;
        Ok(PinnedDir { path, id, dir })
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The directory itself, opened for reading.
    pub fn readable(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, ".", flags, Mode::empty()).os("openat(.)", &self.path)
    }

    /// The path of `name` in it through the descriptor, for as long as this lives: for calls that take no descriptor.
    pub fn held_path(&self, name: &str) -> PathBuf {
        Path::new("/proc/thread-self/fd").join(self.dir.as_raw_fd().to_string()).join(name)
    }

    /// The error for a place that isn't what it was.
    pub fn changed(&self) -> Error {
        Error::new(Kind::Changed, "read layer").at(&self.path).detail("it was removed or replaced while it was read")
    }
}

impl AsFd for PinnedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Pin for PinnedDir {
    fn check(&self) -> Result<()> {
        if FileId::of_path(&self.path)? == Some(self.id) { Ok(()) } else { Err(self.changed()) }
    }
}

/// A view takes a descriptor for each layer of its chain.
fn explain_descriptors(error: Error) -> Error {
    match error.errno() {
        Some(libc::EMFILE | libc::ENFILE) => error
            .detail("a view of a layer needs a descriptor for each layer below it")
            .remedy("raise the limit on open files (RLIMIT_NOFILE)"),
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests do to files what others might")]
mod tests {
    use super::*;

    #[test]
    fn a_pin_tells_that_another_directory_has_taken_the_place() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("layer");
        assert_eq!(PinnedDir::open(&path).map_err(|error| error.kind()).err(), Some(Kind::NotFound));
        std::fs::create_dir(&path).expect("mkdir");
        let pin = PinnedDir::open(&path).expect("pin");
        pin.check().expect("the same directory");
        std::fs::rename(&path, dir.path().join("away")).expect("rename");
        assert_eq!(pin.check().map_err(|error| error.kind()), Err(Kind::Changed));
        std::fs::create_dir(&path).expect("mkdir");
        assert_eq!(pin.check().map_err(|error| error.kind()), Err(Kind::Changed));
    }
}
