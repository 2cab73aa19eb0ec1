//! What differs at paths that may differ, decided by looking at both trees exactly as a walk over them would.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;
use storage_core::archive::{self, Change, ChangeKind, Tree};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::beneath::{self, Links};
use storage_core::sys::btrfs::{Names, names_of_inode};
use storage_core::task::Task;

use crate::send::{Candidate, Candidates, Content, Reach, add};

/// Whether the content of two files is the same, by their inodes in the new tree and in the old one. Both are snapshots, so
/// what was read once needn't be again: not for another name, nor when all is decided anew.
type Verdicts = HashMap<(u64, u64), bool>;

/// The changes at `candidates`, in the order of paths. `None` when a file has more names than the kernel tells.
///
/// A file is named by one of its names, but what changes in it changes at all of them: so the others of every file that
/// differs are looked at too.
pub(crate) fn decide(
    new: Tree<'_>,
    old: Tree<'_>,
    mut candidates: Candidates,
    task: &Task,
) -> Result<Option<Vec<Change>>> {
    let mut verdicts = Verdicts::new();
    loop {
        let changes = Decision::new(new, old, task, &mut verdicts).run(&candidates)?;
        let Some(names) = other_names(new, old, &changes, task)? else { return Ok(None) };
        let mut known = true;
        for name in names {
            // What changed in a file under one name did so under all of them.
            known &= !add(&mut candidates, name, Candidate::ENTRY);
        }
        if known {
            return Ok(Some(changes));
        }
    }
}

struct Decision<'a> {
    new: Tree<'a>,
    old: Tree<'a>,
    task: &'a Task,
    changes: Vec<Change>,
    /// Every path in `changes`.
    told: HashSet<PathBuf>,
    /// Whether the directory that was looked at last is one in the new tree.
    parent: Option<(PathBuf, bool)>,
    verdicts: &'a mut Verdicts,
}

impl<'a> Decision<'a> {
    fn new(new: Tree<'a>, old: Tree<'a>, task: &'a Task, verdicts: &'a mut Verdicts) -> Self {
        Decision { new, old, task, changes: Vec::new(), told: HashSet::new(), parent: None, verdicts }
    }

    fn run(mut self, candidates: &Candidates) -> Result<Vec<Change>> {
        let mut done: Option<&Path> = None;
        for (path, candidate) in candidates {
            self.task.step(0, 1)?;
            if done.is_some_and(|done| path.starts_with(done)) || !self.has_parent(path)? {
                continue;
            }
            if self.one(path, *candidate)? {
                done = Some(path);
            }
        }
        Ok(self.changes)
    }

    /// Whether the directory of a path is one in the new tree. If not, what happened to it tells all.
    fn has_parent(&mut self, path: &Path) -> Result<bool> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if let Some((known, there)) = &self.parent
            && known == parent
        {
            return Ok(*there);
        }
        let there = open_dir(self.new.root, parent)?.is_some();
        self.parent = Some((parent.to_path_buf(), there));
        Ok(there)
    }

    /// Decides one path. `true` when that tells about everything below it too.
    fn one(&mut self, path: &Path, candidate: Candidate) -> Result<bool> {
        let (new, old) = (stat(self.new.root, path)?, stat(self.old.root, path)?);
        let is = |stat: Option<&Stat>, kind| stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind);
        if new.is_none() && old.is_none() {
            return Ok(false);
        }
        if candidate.reach == Reach::Subtree && is(new.as_ref(), FileType::Directory) {
            let mut found = Vec::new();
            archive::compare(self.new, Some(self.old), path, self.task, &mut |change| {
                found.push(change);
                Ok(())
            })?;
            for change in found {
                self.tell(change);
            }
            return Ok(true);
        }
        let mut difference = archive::compare_paths(self.new, Some(self.old), path)?;
        if difference.is_none()
            && candidate.content == Content::Doubtful
            && let (Some(new), Some(old)) = (&new, &old)
            && !self.same_content(path, new, old)?
        {
            difference = Some(ChangeKind::Modify);
        }
        if let Some(kind) = difference {
            self.tell(Change { path: path.to_path_buf(), kind });
        }
        Ok(!is(new.as_ref(), FileType::Directory))
    }

    /// Whether two files hold the same: an edit may have kept size and time. What is no file holds nothing.
    fn same_content(&mut self, path: &Path, new: &Stat, old: &Stat) -> Result<bool> {
        if [new, old].iter().any(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile) {
            return Ok(true);
        }
        let inodes = (new.st_ino, old.st_ino);
        if let Some(same) = self.verdicts.get(&inodes) {
            return Ok(*same);
        }
        let same = archive::same_content(self.new.root, Some(self.old.root), path, self.task)?;
        self.verdicts.insert(inodes, same);
        Ok(same)
    }

    /// Tells a change, after the directories above it that were not told yet.
    fn tell(&mut self, change: Change) {
        let mut above: Vec<&Path> = change.path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        above.retain(|path| !self.told.contains(*path));
        for path in above.into_iter().rev() {
            self.told.insert(path.to_path_buf());
            self.changes.push(Change { path: path.to_path_buf(), kind: ChangeKind::Modify });
        }
        self.told.insert(change.path.clone());
        self.changes.push(change);
    }
}

/// The names in the new tree of all files that are in `changes` and have or had several. `None` when there are too many.
fn other_names(new: Tree<'_>, old: Tree<'_>, changes: &[Change], task: &Task) -> Result<Option<Vec<PathBuf>>> {
    let mut inodes = HashSet::new();
    let mut several = |stat: &Stat| {
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory && stat.st_nlink > 1 {
            inodes.insert(stat.st_ino);
        }
    };
    for change in changes {
        task.step(0, 1)?;
        if change.kind != ChangeKind::Delete {
            stat(new.root, &change.path)?.iter().for_each(&mut several);
        }
        let Some(before) = stat(old.root, &change.path)?.filter(|_| change.kind != ChangeKind::Add) else { continue };
        several(&before);
        let was_directory = FileType::from_raw_mode(before.st_mode) == FileType::Directory;
        let is_none = change.kind == ChangeKind::Delete || open_dir(new.root, &change.path)?.is_none();
        if was_directory && is_none {
            archive::compare(old, None, &change.path, task, &mut |gone| {
                stat(old.root, &gone.path)?.iter().for_each(&mut several);
                Ok(())
            })?;
        }
    }
    let mut names = Vec::new();
    for inode in inodes {
        task.step(0, 1)?;
        match names_of_inode(new.root, inode).os("ioctl(BTRFS_IOC_INO_PATHS)", "/")? {
            Names::All(paths) => names.extend(paths.iter().map(|path| Path::new("/").join(path))),
            Names::TooMany => return Ok(None),
        }
    }
    Ok(Some(names))
}

/// Opens a directory of a tree; `None` when it isn't one there.
fn open_dir(root: BorrowedFd<'_>, path: &Path) -> Result<Option<std::os::fd::OwnedFd>> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match beneath::open(root, path, flags, rustix::fs::Mode::empty(), Links::Refuse) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Escape) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What stands at a path of a tree.
fn stat(root: BorrowedFd<'_>, path: &Path) -> Result<Option<Stat>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Some(dir) = open_dir(root, parent)? else { return Ok(None) };
    match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::os("fstatat", path, errno)),
    }
}
