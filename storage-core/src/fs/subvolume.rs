//! Subvolumes of btrfs, as directories: which directory is one, and deleting one in constant time.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags};

use super::beneath::{self, Links};
use crate::sys::btrfs::{self, Nested, ROOT_INODE, SUPER_MAGIC, Writing};

/// How deep subvolumes in subvolumes are looked for.
const DEEPEST: usize = 32;

/// Whether the directory `dir` is the root of a subvolume.
pub fn is_subvolume(dir: impl AsFd) -> bool {
    rustix::fs::fstat(&dir).is_ok_and(|stat| stat.st_ino == ROOT_INODE)
        && rustix::fs::fstatfs(&dir).is_ok_and(|stat| stat.f_type as u64 & 0xffff_ffff == SUPER_MAGIC)
}

/// Destroys the subvolume `name` in `dir` and those in it, at a cost that doesn't grow with what they hold. `false` when it
/// is none or can't be destroyed so: then it is to be deleted like any directory, which the kernel lets its owner do.
///
/// Nothing is destroyed that has a mount of this mount namespace in it, which the kernel would take away without a word.
pub(super) fn destroy(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let Ok(root) = open(dir, Path::new(name)) else { return false };
    if !is_subvolume(&root) || has_mounts(&root) != Some(false) {
        return false;
    }
    if destroy_open(dir, name, root.as_fd()) {
        return true;
    }
    // An ordinary user may not destroy it, but its owner may make it one that can be emptied.
    if btrfs::is_read_only(root.as_fd()) == Ok(true) {
        let _ = btrfs::set_writing(root.as_fd(), Writing::Allowed);
    }
    false
}

fn destroy_open(dir: BorrowedFd<'_>, name: &OsStr, root: BorrowedFd<'_>) -> bool {
    match btrfs::destroy_by_name(dir, name) {
        Err(Errno::ENOTEMPTY) => destroy_nested(root, DEEPEST).is_ok() && is_gone(btrfs::destroy_by_name(dir, name)),
        done => is_gone(done),
    }
}

fn destroy_nested(root: BorrowedFd<'_>, depth: usize) -> nix::Result<()> {
    let depth = depth.checked_sub(1).ok_or(Errno::ELOOP)?;
    for Nested { id, directory, name } in btrfs::nested(root)? {
        let path = directory.join(&name);
        destroy_nested(open(root, &path)?.as_fd(), depth)?;
        match btrfs::destroy_by_id(root, id) {
            // A kernel before 5.7.
            Err(Errno::ENOTTY) => btrfs::destroy_by_name(open(root, &directory)?.as_fd(), &name)?,
            Err(Errno::ENOENT) => {}
            done => done?,
        }
    }
    Ok(())
}

fn is_gone(done: nix::Result<()>) -> bool {
    matches!(done, Ok(()) | Err(Errno::ENOENT))
}

fn open(dir: BorrowedFd<'_>, path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = beneath::try_open(dir, path, flags, Mode::empty(), Links::Refuse);
    opened.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// Whether something is mounted on or below the directory, in this mount namespace. `None` when that can't be told.
fn has_mounts(root: &OwnedFd) -> Option<bool> {
    let path = std::fs::read_link(format!("/proc/thread-self/fd/{}", root.as_raw_fd())).ok()?;
    let table = std::io::read_to_string(File::open("/proc/thread-self/mountinfo").ok()?).ok()?;
    let path = escape(path.as_os_str().as_bytes());
    let below = |point: &str| {
        point.as_bytes().strip_prefix(path.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    Some(table.lines().filter_map(|line| line.split(' ').nth(4)).any(below))
}

/// A path as the kernel writes it to a table of mounts.
fn escape(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_filesystem_is_no_subvolume() {
        let proc = File::open("/proc").expect("open /proc");
        assert!(!is_subvolume(&proc));
        assert!(!destroy(proc.as_fd(), OsStr::new("self")), "nothing of /proc was destroyed");
    }

    #[test]
    fn a_mount_is_found_by_its_escaped_path() {
        assert_eq!(escape(b"/a b\\c\t"), b"/a\\040b\\134c\\011");
        let proc = OwnedFd::from(File::open("/proc").expect("open /proc"));
        assert_eq!(has_mounts(&proc), Some(true), "/proc itself is mounted");
    }
}
