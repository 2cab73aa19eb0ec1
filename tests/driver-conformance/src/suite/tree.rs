//! A directory tree as a case makes, changes and describes it.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use storage_core::driver::{Staged, View};
use storage_core::fs::xattr;

use super::check::{Checked, Step};

/// A tree, by a path that works for as long as this lives.
#[derive(Debug)]
pub(super) struct Tree {
    path: PathBuf,
    _held: Option<OwnedFd>,
}

impl Tree {
    /// The tree at a path.
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Tree { path: path.into(), _held: None }
    }

    /// The tree below a directory that is open.
    pub(super) fn of(held: OwnedFd) -> Self {
        let path = PathBuf::from(format!("/proc/{}/fd/{}/.", std::process::id(), held.as_raw_fd()));
        Tree { path, _held: Some(held) }
    }

    /// What a layer in the making holds.
    pub(super) fn staged(staged: &dyn Staged) -> Checked<Self> {
        Ok(Tree::of(staged.root()?))
    }

    /// What a view shows, also after the view itself is gone.
    pub(super) fn view(view: &View) -> Checked<Self> {
        view.root().try_clone_to_owned().step("dup", "a view").map(Tree::of)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Checked {
        fs::write(self.path(name), text).step("write", name)
    }

    pub(super) fn read(&self, name: &str) -> Checked<String> {
        fs::read_to_string(self.path(name)).step("read", name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    pub(super) fn dir(&self, name: &str) -> Checked {
        fs::create_dir_all(self.path(name)).step("mkdir", name)
    }

    pub(super) fn remove(&self, name: &str) -> Checked {
        storage_core::fs::remove::remove_tree(&self.path(name), &storage_core::Task::new("case")).step("remove", name)
    }

    pub(super) fn link(&self, from: &str, name: &str) -> Checked {
        fs::hard_link(self.path(from), self.path(name)).step("link", name)
    }

    pub(super) fn symlink(&self, target: &str, name: &str) -> Checked {
        std::os::unix::fs::symlink(target, self.path(name)).step("symlink", name)
    }

    pub(super) fn mode(&self, name: &str, mode: u32) -> Checked {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).step("chmod", name)
    }

    pub(super) fn owner(&self, name: &str, uid: u32, gid: u32) -> Checked {
        std::os::unix::fs::lchown(self.path(name), Some(uid), Some(gid)).step("lchown", name)
    }

    pub(super) fn fifo(&self, name: &str) -> Checked {
        nix::unistd::mkfifo(&self.path(name), Mode::from_bits_truncate(0o640)).step("mkfifo", name)
    }

    pub(super) fn device(&self, name: &str, kind: SFlag, major: u64, minor: u64) -> Checked {
        mknod(&self.path(name), kind, Mode::from_bits_truncate(0o600), makedev(major, minor)).step("mknod", name)
    }

    /// A file of `size` bytes with one word at each end and nothing between.
    pub(super) fn sparse(&self, name: &str, size: u64) -> Checked {
        let file = File::create(self.path(name)).step("create", name)?;
        let write = |text: &[u8], at| std::os::unix::fs::FileExt::write_all_at(&file, text, at);
        write(b"begin", 0).and_then(|()| write(b"end", size - 3)).step("pwrite", name)
    }

    /// Sets an extended attribute; `false` where the filesystem has none of the kind.
    pub(super) fn attribute(&self, name: &str, key: &std::ffi::CStr, value: &[u8]) -> Checked<bool> {
        let root = File::open(&self.path).step("open", &self.path)?;
        match xattr::set(std::os::fd::AsFd::as_fd(&root), name.as_ref(), key, value) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(errno).step("lsetxattr", name),
        }
    }

    /// Gives a file a time of modification.
    pub(super) fn time(&self, name: &str, seconds: i64, nanos: i64) -> Checked {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, self.path(name), &times, flags).step("utimensat", name)
    }

    pub(super) fn stat(&self, name: &str) -> Checked<fs::Metadata> {
        fs::symlink_metadata(self.path(name)).step("lstat", name)
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, name: &str) -> Checked<Vec<String>> {
        let dir = self.path(name);
        let entries = fs::read_dir(&dir).step("read directory", name)?.flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Everything that can be told of every entry, a line each; of directories all but their time, of the root nothing.
    pub(super) fn listing(&self) -> Checked<Vec<String>> {
        let mut lines = Vec::new();
        walk(&self.path, Path::new(""), &mut lines)?;
        lines.sort();
        Ok(lines)
    }
}

fn walk(root: &Path, below: &Path, lines: &mut Vec<String>) -> Checked {
    let dir = root.join(below);
    let held = File::open(&dir).step("open", &dir)?;
    for entry in fs::read_dir(&dir).step("read directory", &dir)? {
        let name = entry.step("read directory", &dir)?.file_name();
        let path = below.join(&name);
        let found = fs::symlink_metadata(root.join(&path)).step("lstat", &path)?;
        lines.push(describe(&held, &root.join(&path), &path, &found)?);
        if found.is_dir() {
            walk(root, &path, lines)?;
        }
    }
    Ok(())
}

fn describe(dir: &File, real: &Path, path: &Path, found: &fs::Metadata) -> Checked<String> {
    let kind = found.file_type();
    let own = match kind {
        kind if kind.is_dir() => "directory".to_owned(),
        kind if kind.is_symlink() => {
            format!("-> {}", fs::read_link(real).step("readlink", path)?.as_os_str().as_bytes().escape_ascii())
        }
        kind if kind.is_file() => format!("file {} {:x}", found.size(), content(real)?),
        kind if kind.is_char_device() || kind.is_block_device() => format!("device {kind:?} {:x}", found.rdev()),
        other => format!("{other:?}"),
    };
    let time = if kind.is_dir() {
        String::new()
    } else {
        format!(" {}.{:09} {} names", found.mtime(), found.mtime_nsec(), found.nlink())
    };
    let mut attributes = Vec::new();
    let name = path.file_name().unwrap_or_default();
    let held = std::os::fd::AsFd::as_fd(dir);
    for key in xattr::list(held, name).step("llistxattr", path)? {
        let text = key.to_string_lossy().into_owned();
        if (text.starts_with("user.") && !text.starts_with("user.overlay.")) || text == "security.capability" {
            attributes.push(format!(" {text}={:?}", xattr::get(held, name, &key).step("lgetxattr", path)?));
        }
    }
    attributes.sort();
    let owner = format!("{}:{}", found.uid(), found.gid());
    let shown = path.as_os_str().as_bytes().escape_ascii();
    Ok(format!("{shown} {:o} {owner} {own}{time}{}", found.mode() & 0o7777, attributes.concat()))
}

fn content(path: &Path) -> Checked<u64> {
    let mut file = File::open(path).step("open", path)?;
    let (mut hash, mut buffer) = (DefaultHasher::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).step("read", path)? {
            0 => return Ok(hash.finish()),
            read => hash.write(&buffer[..read]),
        }
    }
}

/// A file name that is no text.
pub(super) fn odd_name() -> &'static std::ffi::OsStr {
    std::ffi::OsStr::from_bytes(b"odd \n\\ \xff name")
}
