//! Opening files beneath a directory that the caller holds open.
//!
//! No name that these functions are given, and no symbolic link on the way, leads outside the directory: the kernel
//! enforces it (`openat2`, Linux 5.6). Where the call is missing or forbidden by a seccomp filter, the path is walked one
//! component at a time and every symbolic link is refused, which is stricter, never laxer.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};

/// What happens to a symbolic link in the directory part of a path, or at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is followed as long as it stays beneath the root.
    Beneath,
    /// It is an error ([`Kind::Escape`]), wherever it stands.
    Refuse,
}

/// Set once `openat2` was refused as unknown, so that later calls don't try again.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens `path`, relative and without `..`, beneath `root`. Fails with [`Kind::Escape`] when it leads outside.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode, links: Links) -> Result<OwnedFd> {
    try_open(root, path, flags, mode, links).map_err(|errno| failed(path, errno))
}

/// Opens a directory beneath `root` for reading and as the base of other calls; an empty path is the root itself.
pub fn open_dir(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), links)
}

/// Opens a file beneath `root` for reading. It never waits: a fifo opens at once.
pub fn open_file(root: BorrowedFd<'_>, path: &Path, links: Links) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    open(root, path, flags, Mode::empty(), links).map(File::from)
}

/// Opens the file at `path` for reading, which no link may lead out of the directory `store`; a link at its end is refused.
/// It never waits. For stores that somebody else writes.
pub fn open_in_store(store: &Path, path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    in_store(store, path, flags).map(File::from)
}

/// As [`open_in_store`], with `flags`.
pub fn in_store(store: &Path, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let base = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(store, base, Mode::empty()).map_err(|errno| Error::os("open", store, errno))?;
    let inner = path.strip_prefix(store).map_err(|_| Error::new(Kind::Escape, "open in store").at(path))?;
    let opened = open(root.as_fd(), inner, flags, Mode::empty(), Links::Beneath);
    opened.map_err(|error| match error.kind() {
        Kind::Escape => error.at(path).detail("a link there would lead out of the store, or stands for a file"),
        _ => error.at(path),
    })
}

/// [`open`] with the bare error number, for callers that decide by it. `ELOOP` means a refused link, `EXDEV` an escape.
pub(crate) fn try_open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    links: Links,
) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        let resolve = match links {
            Links::Beneath => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            Links::Refuse => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS,
        };
        loop {
            match rustix::fs::openat2(root, path, flags, mode, resolve) {
                // The kernel gives up when a rename elsewhere races with `..` in a link.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => break NO_OPENAT2.store(true, Ordering::Relaxed),
                Err(Errno::PERM) if blocked_by_filter() => break NO_OPENAT2.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
    }
    walk(root, path, flags, mode)
}

/// Whether `openat2` is refused for anything at all, as old seccomp filters do with calls they don't know.
fn blocked_by_filter() -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    matches!(rustix::fs::openat2(rustix::fs::CWD, "/", flags, Mode::empty(), ResolveFlags::empty()), Err(Errno::PERM))
}

/// Opens one component after the other, following no link.
fn walk(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name),
            _ => return Err(Errno::XDEV),
        }
    }
    let last = parts.pop().unwrap_or(OsStr::new("."));
    let mut dir: Option<OwnedFd> = None;
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for name in parts {
        let at = dir.as_ref().map_or(root, AsFd::as_fd);
        let next = rustix::fs::openat(at, name, step, Mode::empty()).map_err(|errno| link_or(at, name, errno))?;
        dir = Some(next);
    }
    let at = dir.as_ref().map_or(root, AsFd::as_fd);
    rustix::fs::openat(at, last, flags | OFlags::NOFOLLOW, mode).map_err(|errno| link_or(at, last, errno))
}

/// `ENOTDIR` of a link opened as a directory is told as `ELOOP`, as `openat2` does.
fn link_or(at: BorrowedFd<'_>, name: &OsStr, errno: Errno) -> Errno {
    let is_link = || {
        rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
    };
    if errno == Errno::NOTDIR && is_link() { Errno::LOOP } else { errno }
}

fn failed(path: &Path, errno: Errno) -> Error {
    match errno {
        Errno::XDEV | Errno::LOOP => Error::new(Kind::Escape, "openat2(RESOLVE_BENEATH)").at(path),
        errno => Error::os("openat2", path, errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir_all(dir.path().join("root/a")).expect("mkdir");
        std::fs::write(dir.path().join("root/a/f"), "x").expect("write");
        std::fs::write(dir.path().join("secret"), "x").expect("write");
        for (target, name) in [("a", "in"), ("..", "out"), ("/", "abs"), ("a/f", "file"), ("../secret", "steal")] {
            std::os::unix::fs::symlink(target, dir.path().join("root").join(name)).expect("symlink");
        }
        let root = OwnedFd::from(File::open(dir.path().join("root")).expect("open"));
        (dir, root)
    }

    #[test]
    fn links_are_followed_only_where_they_stay_beneath() {
        let (_dir, root) = tree();
        for path in ["a/f", "in/f", "file", "./a/f"] {
            assert!(open_file(root.as_fd(), Path::new(path), Links::Beneath).is_ok(), "{path}");
        }
        for path in ["out/secret", "abs/etc", "steal", "../secret", "/etc/passwd"] {
            let error = open_file(root.as_fd(), Path::new(path), Links::Beneath).expect_err(path);
            assert_eq!(error.kind(), Kind::Escape, "{path}: {error}");
        }
        for path in ["in/f", "file"] {
            let error = open_file(root.as_fd(), Path::new(path), Links::Refuse).expect_err(path);
            assert_eq!(error.kind(), Kind::Escape, "{path}: {error}");
        }
        assert_eq!(
            open_file(root.as_fd(), Path::new("a/none"), Links::Refuse).map_err(|e| e.kind()).err(),
            Some(Kind::NotFound)
        );
    }

    #[test]
    fn the_walk_without_openat2_refuses_every_link() {
        let (_dir, root) = tree();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let walk = |path: &str| walk(root.as_fd(), Path::new(path), flags, Mode::empty()).map(drop);
        assert_eq!(walk("a/f"), Ok(()));
        assert_eq!(walk("in/f"), Err(Errno::LOOP));
        assert_eq!(walk("file"), Err(Errno::LOOP));
        assert_eq!(walk("../secret"), Err(Errno::XDEV));
        assert_eq!(walk("/etc"), Err(Errno::XDEV));
    }
}
