//! Staging and trash: private directories that a lock protects while their maker lives, and that anybody may reclaim
//! after.
//!
//! ```text
//! ROOT/                 0700   `tempdirs` in a driver's home, `tmp` beside layers.json
//!   lock-X              0644   held exclusively (OFD) by the maker
//!   temp-dir-X          0700   staged content, or the trash itself (a directory or a file)
//! ```
//!
//! The names are the reference's, whose newer versions reclaim what has no living holder, as we do. The maker of a place
//! takes the lock, makes sure that the lock file is still the one at its path, and only then makes `temp-dir-X`: so a
//! sweeper that came between sees nothing that it could delete, and the maker notices and takes another name.
//!
//! Trash is a rename: what was a layer's directory becomes `temp-dir-X` itself, so no new directory is needed on a full
//! disk. Where not even the lock file can be made, the trash stands without one; makers always lock first, so a
//! `temp-dir-X` without a lock is never live.
//!
//! While a view of trashed content is open, its holder has a shared `flock` on the content's directory. Sweepers of ours
//! then leave it. Only Lamina takes that lock, on files that only Lamina locks so.
#![allow(clippy::disallowed_methods, reason = "flock marks directories that are being viewed, which nobody else locks")]

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::atomic::rename_over;
use super::{Disk, FileId, Files, Opening, Protocol};
use crate::error::{Error, Kind, OsContext, Result};
use crate::sys::ofd::Mode;
use crate::task::Task;

pub(super) const LOCK_PREFIX: &str = "lock-";
pub(super) const DIR_PREFIX: &str = "temp-dir-";
/// How often another name is tried before giving up.
const ATTEMPTS: usize = 100;

/// A directory of staging and trash places.
#[derive(Clone, Debug)]
pub struct TempDirs<F: Files = Disk> {
    files: F,
    root: PathBuf,
}

/// One staging place, held. Dropping it deletes what is in it.
#[derive(Debug)]
#[must_use = "a staging place that is dropped is deleted"]
pub struct TempDir<F: Files = Disk> {
    files: F,
    root: PathBuf,
    suffix: String,
    lock: F::File,
    id: FileId,
}

/// One piece of trash: renamed out of the way, not deleted yet. Dropping it leaves it for a sweep.
#[derive(Debug)]
#[must_use = "trash that is dropped stays until the next sweep"]
pub struct Trashed<F: Files = Disk> {
    files: F,
    path: PathBuf,
    lock_path: PathBuf,
    /// Held, unless the disk was too full to make one.
    lock: Option<F::File>,
}

/// What became of one place in a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Reclaimed,
    InUse,
}

impl TempDirs {
    /// The places below `root`, which is made when first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        TempDirs::among(Disk, root)
    }
}

impl<F: Files> TempDirs<F> {
    /// The places below `root` among `files`.
    pub fn among(files: F, root: impl Into<PathBuf>) -> Self {
        TempDirs { files, root: root.into() }
    }

    /// The directory that holds the places.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a staging place.
    pub fn create(&self) -> Result<TempDir<F>> {
        let (suffix, lock) = self.new_lock()?;
        let path = self.dir_path(&suffix);
        let made = self.files.make_directory(&path);
        let id = made.and_then(|()| self.files.id_at(&path)?.ok_or_else(|| vanished(&path)));
        match id {
            Ok(id) => Ok(TempDir { files: self.files.clone(), root: self.root.clone(), suffix, lock, id }),
            Err(error) => {
                let _ = self.files.remove_file(&self.lock_path(&suffix));
                Err(error)
            }
        }
    }

    /// Renames `path` into trash. `None` when nothing stands there.
    ///
    /// The rename is atomic and, but for the name itself, needs no space.
    pub fn trash(&self, path: &Path) -> Result<Option<Trashed<F>>> {
        let (suffix, lock) = match self.new_lock() {
            Ok((suffix, lock)) => (suffix, Some(lock)),
            Err(error) if error.kind() == Kind::NoSpace => (self.files.fresh_name()?, None),
            Err(error) => return Err(error),
        };
        let trashed = self.trashed(&suffix, lock);
        let renamed = self.files.rename_new(path, &trashed.path).or_else(|error| match error.errno() {
            Some(libc::EPERM) if self.files.clear_marks(path) => self.files.rename_new(path, &trashed.path),
            _ => Err(error),
        });
        match renamed {
            Ok(()) => Ok(Some(trashed)),
            Err(error) => {
                if trashed.lock.is_some() {
                    let _ = self.files.remove_file(&trashed.lock_path);
                }
                // Also the place for trash may be missing, where a full disk has no room for it.
                let absent = error.kind() == Kind::NotFound && self.files.id_at(path)?.is_none();
                if absent { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Reclaims the places whose makers are gone, until `deadline`; at least one is tried. Returns how many were reclaimed
    /// and how many are left.
    ///
    /// Needs no store lock. A place that can't be reclaimed is left, and doesn't keep the others from being reclaimed.
    pub fn sweep(&self, deadline: Instant, task: &Task) -> Result<(u64, u64)> {
        let (mut reclaimed, mut left) = (0, 0);
        for suffix in self.suffixes()? {
            if reclaimed + left > 0 && Instant::now() >= deadline {
                left += 1;
                continue;
            }
            match self.sweep_one(&suffix, task) {
                Ok(Outcome::Reclaimed) => reclaimed += 1,
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                Ok(Outcome::InUse) | Err(_) => left += 1,
            }
        }
        Ok((reclaimed, left))
    }

    fn suffixes(&self) -> Result<BTreeSet<String>> {
        let names = self.files.names(&self.root)?;
        let suffix =
            |name: &String| name.strip_prefix(DIR_PREFIX).or_else(|| name.strip_prefix(LOCK_PREFIX)).map(str::to_owned);
        Ok(names.iter().filter_map(suffix).collect())
    }

    fn sweep_one(&self, suffix: &str, task: &Task) -> Result<Outcome> {
        let lock_path = self.lock_path(suffix);
        let lock = match self.files.open(&lock_path, Opening::Lock) {
            Ok(lock) if !self.take(&lock, &lock_path)? => return Ok(Outcome::InUse),
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == Kind::NoSpace => None,
            Err(error) => return Err(error),
        };
        self.trashed(suffix, lock).delete(task)
    }

    fn trashed(&self, suffix: &str, lock: Option<F::File>) -> Trashed<F> {
        Trashed { files: self.files.clone(), path: self.dir_path(suffix), lock_path: self.lock_path(suffix), lock }
    }

    /// Takes the lock, and makes sure that it is the one at the path: another may have reclaimed it in between.
    fn take(&self, lock: &F::File, path: &Path) -> Result<bool> {
        Ok(self.files.try_lock(lock, path, Protocol::Record, Mode::Exclusive)? && is_at_path(&self.files, lock, path)?)
    }

    /// Makes a lock file of a new name and holds it.
    fn new_lock(&self) -> Result<(String, F::File)> {
        for _ in 0..ATTEMPTS {
            let suffix = self.files.fresh_name()?;
            let path = self.lock_path(&suffix);
            let lock = match self.files.open(&path, Opening::NewLock) {
                Ok(lock) => lock,
                Err(error) if error.errno() == Some(libc::EEXIST) => continue,
                Err(error) if error.errno() == Some(libc::ENOENT) => {
                    self.files.make_directories(&self.root)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.take(&lock, &path)? {
                return Ok((suffix, lock));
            }
        }
        Err(Error::new(Kind::Locked, "make a staging place")
            .at(&self.root)
            .detail("every new name was taken by somebody else"))
    }

    fn lock_path(&self, suffix: &str) -> PathBuf {
        self.root.join(format!("{LOCK_PREFIX}{suffix}"))
    }

    fn dir_path(&self, suffix: &str) -> PathBuf {
        self.root.join(format!("{DIR_PREFIX}{suffix}"))
    }
}

impl<F: Files> TempDir<F> {
    /// The directory, for its maker to fill.
    pub fn path(&self) -> PathBuf {
        self.root.join(format!("{DIR_PREFIX}{}", self.suffix))
    }

    /// Fails with [`Kind::Changed`] unless the lock and the directory are still the ones that were made.
    pub fn check(&self) -> Result<()> {
        let path = self.path();
        let lock_is_ours = is_at_path(&self.files, &self.lock, &self.lock_path())?;
        if lock_is_ours && self.files.id_at(&path)? == Some(self.id) { Ok(()) } else { Err(vanished(&path)) }
    }

    /// Moves `name` of this place to `target`, where nothing may be, after a [`TempDir::check`].
    pub fn move_out(&self, name: &str, target: &Path) -> Result<()> {
        self.check()?;
        self.files.rename_new(&self.path().join(name), target)
    }

    /// Exchanges `name` of this place with `target`, atomically, after a [`TempDir::check`].
    pub fn exchange(&self, name: &str, target: &Path) -> Result<()> {
        self.check()?;
        self.files.exchange(&self.path().join(name), target)
    }

    /// Deletes the place and reports what failed, which a drop can't.
    pub fn close(self) -> Result<()> {
        self.delete()
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join(format!("{LOCK_PREFIX}{}", self.suffix))
    }

    fn delete(&self) -> Result<()> {
        if self.check().is_err() {
            return Ok(());
        }
        self.files.remove_tree(&self.path(), &Task::new("delete staging"))?;
        self.files.remove_file(&self.lock_path())
    }
}

impl<F: Files> Drop for TempDir<F> {
    /// What can't be deleted stays; a sweep reclaims it once the lock is gone.
    fn drop(&mut self) {
        let _ = self.delete();
    }
}

impl<F: Files> Trashed<F> {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it, unless a view of it is open: then it is left for a later sweep, without an error.
    pub fn reclaim(self, task: &Task) -> Result<()> {
        self.delete(task).map(|_| ())
    }

    fn delete(&self, task: &Task) -> Result<Outcome> {
        if self.files.is_viewed(&self.path)? {
            return Ok(Outcome::InUse);
        }
        self.files.remove_tree(&self.path, task)?;
        if self.lock.is_some() {
            self.files.remove_file(&self.lock_path)?;
        }
        Ok(Outcome::Reclaimed)
    }
}

/// Takes a shared hold on a layer's directory, so that sweepers of ours leave it while it is being read.
pub fn hold_for_view(dir: &File, path: &Path) -> Result<()> {
    fs2::FileExt::try_lock_shared(dir).os("flock(shared)", path)
}

/// Whether somebody has a view of the trash at `path`, or of a layer directly below it (where the reference puts them).
pub(super) fn is_viewed(path: &Path) -> Result<bool> {
    let Some(dir) = open_dir(path)? else { return Ok(false) };
    if fs2::FileExt::try_lock_exclusive(&dir).is_err() {
        return Ok(true);
    }
    for entry in std::fs::read_dir(path).os("read directory", path)? {
        let entry = entry.os("read directory", path)?;
        let numbered = entry.file_name().to_string_lossy().starts_with(|first: char| first.is_ascii_digit());
        if numbered
            && let Some(below) = open_dir(&entry.path())?
            && fs2::FileExt::try_lock_exclusive(&below).is_err()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open_dir(path: &Path) -> Result<Option<File>> {
    let opened = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path);
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => Ok(None),
        Err(error) => Err(error).os("open directory", path),
    }
}

fn is_at_path<F: Files>(files: &F, file: &F::File, path: &Path) -> Result<bool> {
    Ok(files.id_at(path)? == Some(files.id_of(file, path)?))
}

fn vanished(path: &Path) -> Error {
    Error::new(Kind::Changed, "use a staging place")
        .at(path)
        .detail("it was taken away by somebody else")
        .remedy("try again")
}

/// Renames, and fails where something stands at the target.
///
/// A filesystem that has no such rename (zfs before 2.2) gets by with others: see `move_no_replace`.
pub fn rename_no_replace(from: &Path, to: &Path) -> Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Err(nix::errno::Errno::EINVAL) => move_no_replace(from, to),
        done => done.os("renameat2(noreplace)", from).map_err(|error| error.detail(format!("to {}", to.display()))),
    }
}

/// The same without the kernel's help. A file gets its new name before it loses the old one, and never takes one that is
/// there. For a directory it is looked whether something stands at the target: the caller's lock keeps others from putting
/// something there meanwhile, and what is not an empty directory would not be replaced anyway.
fn move_no_replace(from: &Path, to: &Path) -> Result<()> {
    let is_directory = std::fs::symlink_metadata(from).os("lstat", from)?.is_dir();
    if !is_directory {
        std::fs::hard_link(from, to).os("link", from).map_err(|error| error.detail(format!("to {}", to.display())))?;
        return std::fs::remove_file(from).os("unlink", from);
    }
    if FileId::of_path(to)?.is_some() {
        return Err(Error::os("rename(noreplace)", to, std::io::Error::from_raw_os_error(libc::EEXIST)));
    }
    rename_over(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn without_the_kernels_help_nothing_is_replaced_either() {
        let dir = tempfile::tempdir().expect("dir");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "one").expect("write");
        std::fs::write(path("taken"), "two").expect("write");
        std::fs::create_dir(path("directory")).expect("mkdir");
        std::fs::create_dir(path("empty")).expect("mkdir");
        let moved = |from: &str, to: &str| move_no_replace(&path(from), &path(to)).map_err(|error| error.errno());
        for (from, to) in [("file", "taken"), ("file", "empty"), ("directory", "empty"), ("directory", "taken")] {
            assert_eq!(moved(from, to), Err(Some(libc::EEXIST)), "{from} to {to}");
        }
        assert_eq!(moved("nothing", "new"), Err(Some(libc::ENOENT)));
        assert_eq!((moved("file", "new"), moved("directory", "other")), (Ok(()), Ok(())));
        assert_eq!(std::fs::read(path("new")).expect("read"), b"one");
        assert!(path("other").is_dir() && !path("file").exists() && !path("directory").exists());
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(root)
            .map(|entries| {
                entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default();
        names.sort();
        names
    }

    #[test]
    fn a_sweep_leaves_live_places_and_reclaims_dead_ones() {
        let dir = tempfile::tempdir().expect("dir");
        let places = TempDirs::new(dir.path().join("tempdirs"));
        let live = places.create().expect("create");
        std::fs::write(live.path().join("f"), "x").expect("write");
        let dead = places.root().join("temp-dir-77");
        std::fs::create_dir_all(dead.join("deep/er")).expect("mkdir");
        std::fs::write(places.root().join("lock-78"), "").expect("write");
        assert_eq!(places.sweep(soon(), &Task::new("sweep")).expect("sweep"), (2, 1));
        assert!(live.path().join("f").exists(), "a sweep deleted a place whose lock is held");
        assert!(!dead.exists(), "a place without a holder survived the sweep");
        live.check().expect("still ours");
        drop(live);
        assert!(names(places.root()).is_empty(), "something was left: {:?}", names(places.root()));
    }

    #[test]
    fn a_place_that_was_taken_away_is_noticed_before_it_is_used() {
        let dir = tempfile::tempdir().expect("dir");
        let places = TempDirs::new(dir.path());
        let place = places.create().expect("create");
        std::fs::remove_file(place.lock_path()).expect("unlink");
        std::fs::write(place.lock_path(), "").expect("another lock of the same name");
        assert_eq!(place.check().map_err(|error| error.kind()), Err(Kind::Changed));
        assert_eq!(place.move_out("x", &dir.path().join("y")).map_err(|error| error.kind()), Err(Kind::Changed));
    }

    #[test]
    fn trash_that_is_being_viewed_is_left_and_reclaimed_later() {
        let dir = tempfile::tempdir().expect("dir");
        let layer = dir.path().join("layer");
        std::fs::create_dir(&layer).expect("mkdir");
        std::fs::write(layer.join("f"), "x").expect("write");
        let view = File::open(&layer).expect("open");
        hold_for_view(&view, &layer).expect("hold");
        let places = TempDirs::new(dir.path().join("tempdirs"));
        let trash = places.trash(&layer).expect("trash").expect("something was there");
        let path = trash.path().to_path_buf();
        trash.reclaim(&Task::new("t")).expect("left without an error");
        assert!(path.join("f").exists(), "trash was deleted below an open view");
        assert_eq!(places.sweep(soon(), &Task::new("t")).expect("sweep"), (0, 1));
        drop(view);
        assert_eq!(places.sweep(soon(), &Task::new("t")).expect("sweep"), (1, 0));
        assert!(names(places.root()).is_empty());
    }

    #[test]
    fn trashing_nothing_is_no_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let places = TempDirs::new(dir.path().join("tempdirs"));
        assert!(places.trash(&dir.path().join("absent")).expect("trash").is_none());
        assert!(names(places.root()).is_empty());
    }
}
