//! Where the driver keeps what.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::TempDirs;
use storage_core::ids::{LayerId, random_name};

/// What can stand in the home beside layers.
const NOT_LAYERS: &[&str] = &["l", "staging", "tempdirs"];
/// The letters of a short name.
const LINK_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LINK_LENGTH: usize = 26;
/// The largest of the small files that is read: 500 short names and some.
const LARGEST: u64 = 64 << 10;

/// The driver's home. Paths are resolved at every call: the reference mounts homes on themselves meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    root: PathBuf,
}

impl Home {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Home { root: root.into() }
    }

    /// Makes what is missing of the home.
    pub(crate) fn make(&self) -> Result<()> {
        let above = self.root.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(above).os("mkdir", above)?;
        for path in [self.root.clone(), self.links()] {
            make_dir(&path, 0o755)?;
        }
        let flag = self.root.join(".has-mount-program");
        match File::options().write(true).create_new(true).mode(0o600).open(&flag) {
            Ok(mut file) => file.write_all(b"false").os("write", &flag),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error).os("create", &flag),
        }
    }

    /// Fails when a mount program made the layers of this home: what it leaves on disk would be shown wrongly.
    pub(crate) fn check_native(&self) -> Result<()> {
        let flag = self.root.join(".has-mount-program");
        match read_small(&flag)? {
            Some(text) if text.trim() == "true" => Err(Error::new(Kind::NotSupported, "open overlay home")
                .at(&flag)
                .detail("a mount program (fuse-overlayfs) made the layers of this home")
                .remedy("use the program that made them, or another root")),
            _ => Ok(()),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of one layer.
    pub(crate) fn layer(&self, id: &LayerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// The layer's own changes.
    pub(crate) fn diff(&self, id: &LayerId) -> PathBuf {
        self.layer(id).join("diff")
    }

    /// Whether the layer has a place. Fails where that can't be told.
    pub(crate) fn has(&self, id: &LayerId) -> Result<bool> {
        let path = self.layer(id);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).os("lstat", path),
        }
    }

    /// Where the layer is mounted.
    pub(crate) fn merged(&self, id: &LayerId) -> PathBuf {
        self.layer(id).join("merged")
    }

    /// The directory of short names.
    pub(crate) fn links(&self) -> PathBuf {
        self.root.join("l")
    }

    pub(crate) fn tempdirs(&self) -> TempDirs {
        TempDirs::new(self.root.join("tempdirs"))
    }

    /// The names of the layers' directories, as found.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).os("read directory", &self.root),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.os("read directory", &self.root)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_dir = entry.file_type().os("lstat", entry.path())?.is_dir();
            if is_dir && !name.starts_with('.') && !NOT_LAYERS.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Whether a directory stands at `path`. Fails where that can't be told.
pub(crate) fn is_dir(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).os("stat", path),
    }
}

/// A name in `l/`, checked: letters and digits only, so that it can't lead elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkName(String);

impl LinkName {
    pub(crate) fn random() -> Result<Self> {
        Ok(LinkName(random_name(LINK_LETTERS, LINK_LENGTH)?))
    }

    /// Checks a name that a store's file gives; `path` is the file.
    pub(crate) fn from_store(name: &str, path: &Path) -> Result<Self> {
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            return Ok(LinkName(name.to_owned()));
        }
        Err(Error::new(Kind::Escape, "read short name").at(path).detail(format!("{name:?} can't be one")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a small text file; `None` when it is missing. Neither a final link nor one in its place's is followed.
pub(crate) fn read_small(path: &Path) -> Result<Option<String>> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let dir_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(above, dir_flags, Mode::empty())
        .and_then(|dir| rustix::fs::openat(dir, name, flags, Mode::empty()));
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno).os("open", path),
    };
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text).os("read", path)?;
    if read as u64 > LARGEST {
        return Err(Error::new(Kind::Corrupt, "read").at(path).detail("the file is too large to be what it should be"));
    }
    Ok(Some(text))
}

/// The short name that the layer at `layer` says it has. An empty file, as a power loss leaves it, says as little as none.
pub(crate) fn read_link_file(layer: &Path) -> Result<Option<LinkName>> {
    let path = layer.join("link");
    let text = read_small(&path)?.filter(|text| !text.trim_end().is_empty());
    text.map(|text| LinkName::from_store(text.trim_end(), &path)).transpose()
}

/// The short names that the layer at `layer` stands on, the nearest first; `None` for a base layer.
pub(crate) fn read_lower_file(layer: &Path) -> Result<Option<Vec<LinkName>>> {
    let path = layer.join("lower");
    let Some(text) = read_small(&path)? else { return Ok(None) };
    let names = text.trim_end().split(':').filter(|entry| !entry.is_empty()).map(|entry| {
        let name = entry.strip_prefix("l/").ok_or_else(|| {
            Error::new(Kind::Escape, "read lower directories").at(&path).detail(format!("{entry:?} is not below l/"))
        })?;
        LinkName::from_store(name, &path)
    });
    names.collect::<Result<_>>().map(Some)
}

/// Makes a directory with exactly this mode. One that is there is left as it is.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode)).os("chmod", path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).os("mkdir", path),
    }
}

/// Writes a new small file with mode 0644. One that is there is replaced when it is empty.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    let open = || File::options().write(true).create_new(true).mode(0o644).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_empty(path)? => {
            std::fs::remove_file(path).os("unlink", path)?;
            open()
        }
        opened => opened,
    }
    .os("create", path)?;
    file.set_permissions(Permissions::from_mode(0o644)).os("fchmod", path)?;
    file.write_all(text.as_bytes()).os("write", path)
}

fn is_empty(path: &Path) -> Result<bool> {
    Ok(read_small(path)?.is_some_and(|text| text.trim_end().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_files_that_lead_out_of_the_home_are_refused() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(read_lower_file(dir.path()).expect("missing").is_none());
        for text in ["l/../../etc", "/etc:l/A", "l/A:../x", "l/A/B"] {
            std::fs::write(dir.path().join("lower"), text).expect("write");
            let refused = read_lower_file(dir.path()).map_err(|error| error.kind());
            assert_eq!(refused, Err(Kind::Escape), "{text}");
        }
        std::fs::write(dir.path().join("lower"), "l/A:l/B").expect("write");
        let names = read_lower_file(dir.path()).expect("read").expect("there");
        assert_eq!(names.iter().map(LinkName::as_str).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn a_place_that_cannot_be_looked_at_is_not_taken_for_lost() {
        let dir = tempfile::tempdir().expect("dir");
        let id = LayerId::from_store(&"a".repeat(64)).expect("id");
        let home = Home::new(dir.path().join("home"));
        assert!(!home.has(&id).expect("missing"));
        std::fs::create_dir_all(home.layer(&id)).expect("mkdir");
        assert!(home.has(&id).expect("there"));
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).expect("symlink");
        assert!(Home::new(dir.path().join("loop")).has(&id).is_err());
    }

    #[test]
    fn short_names_are_26_of_the_references_letters() {
        let name = LinkName::random().expect("random");
        assert_eq!(name.as_str().len(), 26);
        assert!(name.as_str().bytes().all(|byte| LINK_LETTERS.contains(&byte)));
    }
}
