//! Removing what an entry replaces or a whiteout hides, beneath the current directory.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::Extractor;
use crate::archive::names;
use crate::archive::tar_split::Ledger;
use crate::archive::walk::{self, Dirs};
use crate::error::{OsContext, Result};
use crate::task::Task;

/// What stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spare {
    Nothing,
    /// What an entry of this archive made.
    OwnEntries,
}

impl Extractor<'_> {
    /// Removes `name` in the current directory with all that is below it; nothing there is no error.
    pub(super) fn clear(&mut self, name: &[u8], task: &Task) -> Result<()> {
        let Self { ledger, parent, root, .. } = self;
        let Some(parent) = parent else { return Ok(()) };
        let mut removal = Removal { ledger, root: *root, path: names::join(&parent.real, name), task };
        removal.remove(parent.fd.as_fd(), name, Spare::Nothing)
    }

    /// Empties the current directory of what was there before this archive.
    pub(super) fn clear_foreign(&mut self, task: &Task) -> Result<()> {
        let Self { ledger, parent, root, .. } = self;
        let Some(parent) = parent else { return Ok(()) };
        let mut removal = Removal { ledger, root: *root, path: parent.real.clone(), task };
        let mut dirs = Dirs::new(parent.fd.as_fd()).os("openat", ".")?;
        removal.empty(&mut dirs, Spare::OwnEntries)
    }
}

struct Removal<'r> {
    ledger: &'r mut Ledger,
    root: BorrowedFd<'r>,
    /// The real path of what is looked at, from the root.
    path: Vec<u8>,
    task: &'r Task,
}

impl Removal<'_> {
    fn remove(&mut self, dir: BorrowedFd<'_>, name: &[u8], spare: Spare) -> Result<()> {
        let stat = match rustix::fs::statat(dir, names::os(name), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.os("fstatat", names::os(&self.path))?,
        };
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            return self.unlink(dir, name);
        }
        let mut dirs = Dirs::new(dir).os("openat", ".")?;
        dirs.enter(names::os(name)).os("openat", names::os(&self.path))?;
        self.empty(&mut dirs, spare)?;
        self.rmdir(dir, name, spare)
    }

    /// Removes all below the current directory of `dirs`, deepest first, without recursion.
    fn empty(&mut self, dirs: &mut Dirs, spare: Spare) -> Result<()> {
        let mut levels: Vec<(Vec<(OsString, FileType)>, usize)> = vec![(self.list(dirs)?, self.path.len())];
        while let Some((names_here, length)) = levels.last_mut() {
            self.path.truncate(*length);
            let Some((name, kind)) = names_here.pop() else {
                levels.pop();
                if levels.is_empty() {
                    return Ok(());
                }
                dirs.leave().os("openat(..)", names::os(&self.path))?;
                self.task.step(0, 0)?;
                if !(spare == Spare::OwnEntries && self.is_own()) {
                    let (_, name) = names::split(&self.path);
                    self.rmdir(dirs.fd(), name, spare)?;
                }
                continue;
            };
            self.path = names::join(&self.path, name.as_bytes());
            let kind = if kind == FileType::Unknown { kind_of(dirs.fd(), &name)? } else { kind };
            if kind.is_dir() {
                dirs.enter(&name).os("openat", names::os(&self.path))?;
                levels.push((self.list(dirs)?, self.path.len()));
            } else if !(spare == Spare::OwnEntries && self.is_own()) {
                self.unlink(dirs.fd(), name.as_bytes())?;
            }
        }
        Ok(())
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<(OsString, FileType)>> {
        walk::list(dirs.fd()).os("getdents", names::os(&self.path))
    }

    fn is_own(&self) -> bool {
        self.ledger.has(&self.path)
    }

    fn unlink(&mut self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        self.ledger.save(&self.path, dir, name, self.root)?;
        rustix::fs::unlinkat(dir, names::os(name), AtFlags::empty()).os("unlinkat", names::os(&self.path))
    }

    fn rmdir(&self, dir: BorrowedFd<'_>, name: &[u8], spare: Spare) -> Result<()> {
        match rustix::fs::unlinkat(dir, names::os(name), AtFlags::REMOVEDIR) {
            // Something of this archive is still in it.
            Err(Errno::NOTEMPTY | Errno::EXIST) if spare == Spare::OwnEntries => Ok(()),
            done => done.os("unlinkat(AT_REMOVEDIR)", names::os(&self.path)),
        }
    }
}

fn kind_of(dir: BorrowedFd<'_>, name: &OsString) -> Result<FileType> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).os("fstatat", name)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}
