//! Gives the files of a tree the owners that other maps ask for.
//!
//! Several threads share the work: each walks a part of the tree with its own [`Ladder`] and hands a directory over when
//! another thread has nothing to do, so that the descriptors stay few however wide or deep the tree is.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Uid};

use super::metadata::{Failure, Kept};
use super::{Owner, Shift};
use crate::error::{Error, Kind, Result};
use crate::fs::{FileId, Ladder, entries};
use crate::task::Task;

/// How many threads walk a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// Just the calling one.
    pub const ONE: Threads = Threads(NonZeroUsize::MIN);

    /// More than these wait for the filesystem's journal, not for each other.
    const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

    /// As many as the machine has processors for, but not many.
    pub fn available() -> Self {
        Self::at_most(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// `count`, bounded.
    pub fn at_most(count: NonZeroUsize) -> Self {
        Threads(count.min(Self::MOST))
    }
}

/// Changes the owners of everything in the tree at `root`, itself included, as `shift` says; `path` names it in errors.
///
/// * Meant for a tree in staging that nobody else sees. What fails, or is cancelled, leaves a part of the tree changed and
///   a part not, and running it again would shift the changed part twice: throw the tree away.
/// * An owner outside the maps is an error ([`Kind::InvalidMappings`]) with the path and the ids; the first that is met,
///   since looking through the whole tree beforehand would cost another walk.
/// * Links are changed, never followed; a file with several names in the tree is changed once; a mount below it is an error.
/// * Kept: file capabilities, the bits for set-user-id and set-group-id, times of modification. Capabilities that are for
///   one user namespace, and ACLs, name the shifted ids afterwards.
pub fn chown_tree(root: OwnedFd, path: &Path, shift: &Shift, threads: Threads, task: &Task) -> Result<()> {
    let walk = Walk {
        shift,
        task,
        linked: Mutex::default(),
        state: Mutex::default(),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
    };
    walk.change(root.as_fd(), OsStr::new("."), &|| path.to_path_buf())?;
    walk.state.lock().queue.push((root, path.to_path_buf()));
    std::thread::scope(|scope| {
        for _ in 1..threads.0.get() {
            let builder = std::thread::Builder::new().name("chown".to_owned());
            // One thread does it as well.
            if builder.spawn_scoped(scope, || walk.work()).is_err() {
                break;
            }
        }
        walk.work();
    });
    walk.state.into_inner().failed.map_or(Ok(()), Err)
}

struct Walk<'a> {
    shift: &'a Shift,
    task: &'a Task,
    /// Files with several names that were changed already.
    linked: Mutex<HashSet<FileId>>,
    state: Mutex<State>,
    wake: Condvar,
    /// How many threads wait for a directory. Changed under the lock of `state`, looked at without.
    hungry: AtomicUsize,
    /// Set with the first failure.
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Directories that are handed over, never more than there are threads to take them.
    queue: Vec<(OwnedFd, PathBuf)>,
    busy: usize,
    failed: Option<Error>,
}

/// Counts a thread as busy; a panic ends that too, so that nobody waits for it.
struct Busy<'a, 'w>(&'w Walk<'a>);

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy -= 1;
        if state.busy == 0 || state.failed.is_some() {
            self.0.wake.notify_all();
        }
    }
}

impl Walk<'_> {
    fn work(&self) {
        while let Some((root, path)) = self.next() {
            let busy = Busy(self);
            if let Err(error) = self.walk(root, &path) {
                self.stopped.store(true, Ordering::Relaxed);
                self.state.lock().failed.get_or_insert(error);
            }
            drop(busy);
        }
    }

    /// Waits for a directory; `None` when there will be none.
    fn next(&self) -> Option<(OwnedFd, PathBuf)> {
        let mut state = self.state.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(next) = state.queue.pop() {
                state.busy += 1;
                return Some(next);
            }
            if state.busy == 0 {
                return None;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            self.wake.wait(&mut state);
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn walk(&self, root: OwnedFd, path: &Path) -> Result<()> {
        let mut ladder = Ladder::new(root, path)?;
        let mut pending = vec![self.change_entries(&ladder)?];
        while let Some(names) = pending.last_mut() {
            let Some(name) = names.pop() else {
                pending.pop();
                ladder.ascend()?;
                continue;
            };
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            if !self.hand_over(&ladder, &name)? {
                ladder.descend(&name).map_err(explain_mount)?;
                pending.push(self.change_entries(&ladder)?);
            }
        }
        Ok(())
    }

    /// Gives the directory `name` to a thread that waits for one; false when none does.
    fn hand_over(&self, ladder: &Ladder, name: &OsStr) -> Result<bool> {
        if self.hungry.load(Ordering::Relaxed) == 0 {
            return Ok(false);
        }
        let dir = ladder.open(name).map_err(explain_mount)?;
        let mut state = self.state.lock();
        if state.queue.len() >= self.hungry.load(Ordering::Relaxed) {
            return Ok(false);
        }
        state.queue.push((dir, ladder.path_of(name)));
        self.wake.notify_one();
        Ok(true)
    }

    /// Changes all that is in the directory where `ladder` stands, and returns the directories among it.
    fn change_entries(&self, ladder: &Ladder) -> Result<Vec<OsString>> {
        let mut directories = Vec::new();
        for (name, _) in entries(ladder.here(), &ladder.path_of(OsStr::new(".")))? {
            let kind = self.change(ladder.here(), &name, &|| ladder.path_of(&name))?;
            if kind == FileType::Directory {
                directories.push(name);
            }
        }
        Ok(directories)
    }

    /// Changes `name` in `dir`, and says what it is.
    fn change(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &dyn Fn() -> PathBuf) -> Result<FileType> {
        self.task.step(0, 1)?;
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::os("fstatat", path(), errno))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let id = FileId { dev: stat.st_dev, ino: stat.st_ino };
        if kind != FileType::Directory && stat.st_nlink > 1 && !self.linked.lock().insert(id) {
            return Ok(kind);
        }
        let owner = Owner { uid: stat.st_uid, gid: stat.st_gid };
        let new = self.shift.owner(owner).ok_or_else(|| unmapped(&path(), &format!("the owner {owner}")))?;
        let kept = match kind {
            FileType::Symlink => Kept::default(),
            _ => Kept::read(dir, name, self.shift).map_err(|failure| failed(failure, &path()))?,
        };
        let uid_gid = (Some(Uid::from_raw(new.uid)), Some(Gid::from_raw(new.gid)));
        if new != owner {
            rustix::fs::chownat(dir, name, uid_gid.0, uid_gid.1, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| Error::os("fchownat", path(), errno).detail(format!("from {owner} to {new}")))?;
        }
        kept.restore(dir, name).map_err(|failure| failed(failure, &path()))?;
        restore_mode(dir, name, &stat, kind).map_err(|errno| Error::os("fchmodat", path(), errno))?;
        Ok(kind)
    }
}

/// The kernel takes the bits for set-user-id and set-group-id from files that get another owner.
fn restore_mode(dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat, kind: FileType) -> rustix::io::Result<()> {
    let special = Mode::SUID | Mode::SGID;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    if kind == FileType::Symlink || !mode.intersects(special) {
        return Ok(());
    }
    rustix::fs::chmodat(dir, name, mode, AtFlags::empty())
}

fn failed(failure: Failure, path: &Path) -> Error {
    match failure {
        Failure::Os(call, errno) => Error::os(call, path, errno),
        Failure::Unmapped(id) => unmapped(path, &format!("{id} in the access control list")),
    }
}

fn unmapped(path: &Path, what: &str) -> Error {
    Error::new(Kind::InvalidMappings, "change owner")
        .at(path)
        .detail(format!("{what} is outside the maps"))
        .remedy("use maps with a range for it")
}

fn explain_mount(error: Error) -> Error {
    if error.errno() == Some(libc::EXDEV) { error.detail("something is mounted in the tree") } else { error }
}

#[cfg(test)]
#[path = "chown_tests.rs"]
mod tests;
