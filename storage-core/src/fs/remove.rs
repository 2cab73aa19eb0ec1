//! Removal of trees: the one place that deletes below a directory.
//!
//! * No link is followed, and no mount is entered: what is mounted below the tree stays, and the removal fails with
//!   [`crate::Kind::Busy`].
//! * Any depth, with a bounded number of descriptors.
//! * What another deletes meanwhile is no error.
//! * A file marked immutable or append-only loses the mark and is deleted.
//! * A subvolume of btrfs goes as a whole, with those in it, where the kernel permits.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::ladder::{Ladder, entries};
use super::subvolume;
use crate::error::{Error, Kind, OsContext, Result};
use crate::task::Task;

/// Deletes `path` and everything below it. Nothing there is no error. Stops at the next entry when the task is cancelled.
pub fn remove_tree(path: &Path, task: &Task) -> Result<()> {
    task.step(0, 0)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(Kind::Usage, "remove tree").at(path).detail("the path has no last component"));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(errno).os("open(directory)", parent),
    };
    let mut ladder = Ladder::new(dir, parent)?;
    remove_below(&mut ladder, name, FileType::Unknown, task)
}

/// Deletes `name` in the directory that the ladder stands in, and comes back to it.
fn remove_below(ladder: &mut Ladder, name: &OsStr, kind: FileType, task: &Task) -> Result<()> {
    let bottom = ladder.depth();
    let mut pending: Vec<Vec<OsString>> = Vec::new();
    if !remove_one(ladder, name, kind, task)? {
        return Ok(());
    }
    if !enter(ladder, name)? {
        return Ok(());
    }
    pending.push(clear_directory(ladder, task)?);
    while let Some(names) = pending.last_mut() {
        if let Some(name) = names.pop() {
            if enter(ladder, &name)? {
                pending.push(clear_directory(ladder, task)?);
            }
            continue;
        }
        pending.pop();
        if let Some(name) = ladder.ascend()? {
            remove_directory(ladder, &name, task)?;
        }
    }
    debug_assert_eq!(ladder.depth(), bottom, "a removal ends where it began");
    Ok(())
}

/// Goes down into a directory; `false` when another has deleted it.
fn enter(ladder: &mut Ladder, name: &OsStr) -> Result<bool> {
    let refused = match ladder.descend(name) {
        Ok(()) => return Ok(true),
        Err(error) => error,
    };
    match refused.errno() {
        Some(libc::ENOENT | libc::ENOTDIR) => Ok(false),
        Some(libc::EXDEV) => Err(Error::new(Kind::Busy, "remove tree")
            .at(ladder.path_of(name))
            .detail("something is mounted there")
            .remedy("unmount it and try again")),
        Some(libc::EACCES) => {
            let mode = Mode::RWXU;
            rustix::fs::chmodat(ladder.here(), name, mode, AtFlags::empty()).os("fchmodat", ladder.path_of(name))?;
            ladder.descend(name).map(|()| true)
        }
        _ => Err(refused),
    }
}

/// Deletes what the directory holds, but for directories that hold something: those are returned.
fn clear_directory(ladder: &Ladder, task: &Task) -> Result<Vec<OsString>> {
    let mut full = Vec::new();
    for (name, kind) in entries(ladder.here(), &ladder.path_of(OsStr::new(".")))? {
        if remove_one(ladder, &name, kind, task)? {
            full.push(name);
        }
    }
    Ok(full)
}

/// Deletes one file or empty directory. `true` when it is a directory that has to be cleared first.
fn remove_one(ladder: &Ladder, name: &OsStr, kind: FileType, task: &Task) -> Result<bool> {
    task.step(0, 1)?;
    if kind != FileType::Directory {
        match unlink(ladder.here(), name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(false),
            // Linux says EISDIR; POSIX would have EPERM.
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(errno).os("unlinkat", ladder.path_of(name)),
        }
    }
    match unlink(ladder.here(), name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::ACCESS) => {
            Ok(!subvolume::destroy(ladder.here(), name))
        }
        Err(errno) => Err(errno).os("unlinkat(directory)", ladder.path_of(name)),
    }
}

/// Deletes a directory that was cleared. One that others fill again at the same time is cleared a few times more.
fn remove_directory(ladder: &mut Ladder, name: &OsStr, task: &Task) -> Result<()> {
    for _ in 0..3 {
        match unlink(ladder.here(), name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                if enter(ladder, name)? {
                    let full = clear_directory(ladder, task)?;
                    ladder.ascend()?;
                    if let Some(full) = full.first() {
                        let path = ladder.path_of(name).join(full);
                        return Err(Error::os("unlinkat(directory)", path, Errno::NOTEMPTY));
                    }
                }
            }
            Err(errno) => return Err(errno).os("unlinkat(directory)", ladder.path_of(name)),
        }
    }
    Err(Error::os("unlinkat(directory)", ladder.path_of(name), Errno::NOTEMPTY))
}

/// `unlinkat`, once more without the immutable mark when that is in the way.
fn unlink(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(dir, name, flags) {
        Err(Errno::PERM) => {
            clear_marks_of(dir);
            let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory) {
                clear_marks_of(&rustix::fs::openat(dir, name, open, Mode::empty())?);
            }
            rustix::fs::unlinkat(dir, name, flags)
        }
        result => result,
    }
}

/// Takes the immutable and the append-only mark from the directory `path`; whether there was one to take.
pub(super) fn clear_marks(path: &Path) -> bool {
    let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(dir) = rustix::fs::open(path, open, Mode::empty()) else { return false };
    let marked =
        rustix::fs::ioctl_getflags(&dir).is_ok_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND));
    clear_marks_of(dir);
    marked
}

/// Best effort: whether it helped is told by the next attempt.
fn clear_marks_of(fd: impl std::os::fd::AsFd) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(&fd) {
        let _ = rustix::fs::ioctl_setflags(&fd, flags - IFlags::IMMUTABLE - IFlags::APPEND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Cancel;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_tree_deeper_than_any_path_is_deleted_and_links_are_not_followed() {
        let dir = tempfile::tempdir().expect("dir");
        let (tree, kept) = (dir.path().join("tree"), dir.path().join("kept"));
        std::fs::create_dir(&tree).expect("mkdir");
        std::fs::create_dir(&kept).expect("mkdir");
        std::fs::write(kept.join("f"), "x").expect("write");
        symlink(&kept, tree.join("link")).expect("symlink");
        let mut below = super::super::ladder::open_directory(&tree).expect("open");
        for _ in 0..2000 {
            rustix::fs::mkdirat(&below, "deep", Mode::RWXU).expect("mkdir");
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            below = rustix::fs::openat(&below, "deep", flags, Mode::empty()).expect("open");
        }
        drop(below);
        remove_tree(&tree, &Task::new("t")).expect("remove");
        assert!(!tree.exists());
        assert!(kept.join("f").exists(), "a removal followed a link");
        remove_tree(&tree, &Task::new("t")).expect("nothing there is no error");
    }

    #[test]
    fn an_immutable_file_and_directory_are_deleted() {
        let dir = tempfile::tempdir().expect("dir");
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("d")).expect("mkdir");
        std::fs::write(tree.join("d/f"), "x").expect("write");
        for name in ["d/f", "d"] {
            let file = std::fs::File::open(tree.join(name)).expect("open");
            let flags = rustix::fs::ioctl_getflags(&file).expect("flags");
            rustix::fs::ioctl_setflags(&file, flags | IFlags::IMMUTABLE)
                .expect("this needs root on ext4, xfs or btrfs");
        }
        assert!(std::fs::remove_file(tree.join("d/f")).is_err(), "the mark must keep a plain unlink away");
        remove_tree(&tree, &Task::new("t")).expect("remove");
        assert!(!tree.exists());
    }

    #[test]
    fn a_cancelled_removal_stops_and_a_second_one_finishes() {
        let dir = tempfile::tempdir().expect("dir");
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).expect("mkdir");
        let cancel = Cancel::default();
        cancel.cancel();
        let stopped = remove_tree(&tree, &Task::new("t").cancelled_by(cancel));
        assert_eq!(stopped.map_err(|error| error.kind()), Err(Kind::Cancelled));
        assert!(tree.join("a/b").exists());
        remove_tree(&tree, &Task::new("t")).expect("remove");
        assert!(!tree.exists());
    }
}
