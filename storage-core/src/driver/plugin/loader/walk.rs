//! The way to a plugin, every step on a descriptor: nobody else may have a hand in what is loaded.
//!
//! A file or directory is trusted when it belongs to root or to the effective user, and nobody else may write to it. A
//! directory on the way that everybody may write to is good enough when it is root's and sticky, as `/tmp` is: there others
//! can't exchange what is trusted. The directory of the plugin itself must be trusted as it is.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Stat, fstat, openat, readlinkat};

use crate::error::{Error, Kind, OsContext, Result};

/// How many links are followed on one way, as the kernel counts them.
const MOST_LINKS: usize = 40;
/// What a failure here says it was doing.
const OPERATION: &str = "load plugin";

/// What a check takes a directory for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is passed through.
    Way,
    /// The plugin stands in it.
    Last,
}

/// Opens the plugin at `path`, or says why it can't be trusted.
pub(super) fn open_plugin(path: &Path) -> Result<OwnedFd> {
    let mut way = Way::begin(path)?;
    way.follow(path.components().map(component).collect())?;
    let (directory, name) = way.end(path)?;
    trusted_directory(&directory, path, Part::Last)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&directory, &name, flags, Mode::empty()).os("open(plugin)", path)?;
    let stat = fstat(&file).os("fstat", path)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(refused(path, Kind::BadPlugin, "it is not a regular file", "name the shared object of a driver"));
    }
    trusted(&stat, path, "the file")?;
    Ok(file)
}

/// The files of plugins in a directory, by name. The directory is checked here, each file when it is opened.
pub(super) fn plugins_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut way = Way::begin(directory)?;
    way.follow(directory.components().map(component).chain([OsString::from(".")]).collect())?;
    let (opened, _) = way.end(directory)?;
    trusted_directory(&opened, directory, Part::Last)?;
    let readable = openat(&opened, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let entries = rustix::fs::Dir::new(readable.os("open(directory)", directory)?).os("read directory", directory)?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.os("read directory", directory)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if Path::new(name).extension() == Some(OsStr::new("so")) {
            files.push(directory.join(name));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A walk from the root, without the last step.
struct Way<'a> {
    path: &'a Path,
    /// Where it is now.
    here: OwnedFd,
    /// The last step, not taken yet: a name that is no link.
    last: Option<OsString>,
    links: usize,
}

impl<'a> Way<'a> {
    fn begin(path: &'a Path) -> Result<Self> {
        if !path.is_absolute() {
            return Err(refused(path, Kind::Usage, "the path does not begin at the root", "write the whole path"));
        }
        let root = openat(rustix::fs::CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let way = Way { path, here: root.os("open(directory)", "/")?, last: None, links: 0 };
        trusted_directory(&way.here, path, Part::Way)?;
        Ok(way)
    }

    /// Takes the steps, links among them by their targets.
    fn follow(&mut self, steps: Vec<OsString>) -> Result<()> {
        let mut steps: Vec<OsString> = steps.into_iter().rev().collect();
        while let Some(step) = steps.pop() {
            if step == "/" {
                self.here = self.open(OsStr::new("/"))?;
                continue;
            }
            let found = rustix::fs::statat(&self.here, &step, AtFlags::SYMLINK_NOFOLLOW).os("lstat", self.path)?;
            if FileType::from_raw_mode(found.st_mode).is_symlink() {
                self.links += 1;
                if self.links > MOST_LINKS {
                    return Err(Error::os("follow links", self.path, rustix::io::Errno::LOOP));
                }
                trusted_owner(&found, self.path, "a link on the way")?;
                let target = readlinkat(&self.here, &step, Vec::new()).os("readlink", self.path)?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                steps.extend(target.components().map(component).rev());
            } else if steps.is_empty() {
                self.last = Some(step);
            } else {
                self.here = self.open(&step)?;
                trusted_directory(&self.here, self.path, Part::Way)?;
            }
        }
        Ok(())
    }

    /// A directory below where it is now. A link that has just come there is not followed.
    fn open(&self, step: &OsStr) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.here, step, flags, Mode::empty()).os("open(directory)", self.path)
    }

    fn end(self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let last = self.last.ok_or_else(|| refused(path, Kind::Usage, "it names no file", "name the shared object"))?;
        Ok((self.here, last))
    }
}

fn component(component: Component<'_>) -> OsString {
    component.as_os_str().to_owned()
}

fn trusted_directory(directory: impl AsFd, path: &Path, part: Part) -> Result<()> {
    let stat = fstat(&directory).os("fstat", path)?;
    let name = name_of(&directory);
    let others = others_may_write(stat.st_mode);
    if part == Part::Way && others && stat.st_uid == 0 && stat.st_mode & libc::S_ISVTX != 0 {
        return Ok(());
    }
    trusted(&stat, path, &format!("the directory {}", name.display()))
}

fn trusted(stat: &Stat, path: &Path, what: &str) -> Result<()> {
    trusted_owner(stat, path, what)?;
    if others_may_write(stat.st_mode) {
        let mode = stat.st_mode & 0o7777;
        let detail = format!("others may write to {what} (mode {mode:04o})");
        return Err(refused(path, Kind::Permission, &detail, "take the right to write from group and others"));
    }
    Ok(())
}

fn trusted_owner(stat: &Stat, path: &Path, what: &str) -> Result<()> {
    if stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let overflow = std::fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
    let (owner, remedy) = if overflow.trim() == stat.st_uid.to_string() {
        ("a user who is not mapped in this user namespace".to_owned(), "use plugins as root")
    } else {
        (format!("user {}", stat.st_uid), "install plugins as root, or as the user who uses them")
    };
    let detail = format!("{what} belongs to {owner}, who is neither root nor the user of this process");
    Err(refused(path, Kind::Permission, &detail, remedy))
}

fn others_may_write(mode: RawMode) -> bool {
    mode & 0o022 != 0
}

/// What the kernel calls a descriptor, for messages.
fn name_of(directory: impl AsFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    std::fs::read_link(link).unwrap_or_else(|_| PathBuf::from("on the way"))
}

fn refused(path: &Path, kind: Kind, detail: &str, remedy: &'static str) -> Error {
    Error::new(kind, OPERATION).at(path).detail(detail).remedy(remedy)
}
