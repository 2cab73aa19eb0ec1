//! Overlay mounts: as a detached read-only sight, or attached to a path.
//!
//! The lower directories are given in one of three ways, the first that the kernel has and that they fit into:
//!
//! 1. one by one with `lowerdir+`: any number up to the kernel's 500;
//! 2. as one string of short names relative to a directory, which a thread of its own changes to: as many as a page holds;
//! 3. as one string of descriptor numbers, relative to `/proc/thread-self/fd`.
//!
//! A view without `lowerdir+` is mounted in a private namespace, on a tmpfs that holds a link of one or two characters for
//! each directory, so that 500 of them fit into a page.
//!
//! Lower directories with mapped owners ([`Mapped`]) are stacked through detached id-mapped clones. A kernel before 6.15
//! takes no layer from a mount without a path; there the clones are attached in a private namespace, the overlay is mounted
//! there, and a detached clone of it is brought out.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::clone::{reopen_directory, view_attributes, view_flags};
use super::idmapped::Trees;
use super::{Features, Mapped, MountFlags, in_directory, in_private_namespace};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::FileId;

/// The most lower directories that the kernel stacks.
pub const MAX_LOWERS: usize = 500;
/// The longest value that `fsconfig` takes.
const LONGEST_VALUE: usize = 255;
/// What `mount(2)` copies of its data, the end included.
const PAGE: usize = 4096;

/// One directory of an overlay.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its absolute path.
    pub path: PathBuf,
    /// A path through a descriptor that is open (`/proc/thread-self/fd/7/diff`), which is used where it can be.
    pub held: Option<PathBuf>,
    /// A short name relative to the directory given to [`Overlay::attach`].
    pub short: Option<PathBuf>,
    /// The directory that must stand there; not looked at when mounting through `held`.
    pub id: Option<FileId>,
    /// For a lower directory whose files' owners are to be mapped. `held` and `short` are not used then, and the mount's
    /// options name a descriptor in place of the path.
    pub mapped: Option<Mapped>,
}

impl Source {
    /// The directory at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Source { path: path.into(), held: None, short: None, id: None, mapped: None }
    }
}

/// Where an overlay is written.
#[derive(Clone, Debug)]
pub struct Upper {
    /// The directory that takes the changes.
    pub dir: Source,
    /// The kernel's own place, on the same filesystem.
    pub work: Source,
}

/// An overlay to be mounted.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The lower directories, the topmost first.
    pub lowers: Vec<Source>,
    /// Where it is written; `None` for one that can only be read, which needs two lower directories.
    pub upper: Option<Upper>,
    /// Options, told apart.
    pub options: MountFlags,
}

impl Overlay {
    /// A read-only, noatime, nosuid, nodev sight of the merged tree that no path names, as a readable directory.
    pub fn view(&self, features: Features) -> Result<OwnedFd> {
        self.readable(view_attributes(), view_flags(), features)
    }

    /// A detached mount with the overlay's own attributes, as a readable directory. For tests of what the kernel can do.
    pub fn detached(&self, features: Features) -> Result<OwnedFd> {
        self.readable(self.options.attributes(), self.options.flags, features)
    }

    fn readable(&self, attributes: MountAttrFlags, flags: MsFlags, features: Features) -> Result<OwnedFd> {
        self.check_depth()?;
        if let Some(mount) = self.try_detached(attributes, features)? {
            return reopen_directory(mount, self.name());
        }
        let keep = |target: &Path| open_path(target).and_then(|root| reopen_directory(root, self.name()));
        in_private_namespace(|| self.mount_privately(flags, keep))
    }

    /// Attaches the overlay at `target`. Short names are relative to `dir`.
    ///
    /// * Either the whole mount is there afterwards or nothing is.
    pub fn attach(&self, target: &Path, dir: &Path, features: Features) -> Result<()> {
        self.check_depth()?;
        let mount = match self.try_detached(self.options.attributes(), features)? {
            None if self.is_mapped() => {
                Some(in_private_namespace(|| self.mount_privately(self.options.flags, bring_out))?)
            }
            mount => mount,
        };
        if let Some(mount) = mount {
            let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            return rustix::mount::move_mount(mount, "", rustix::fs::CWD, target, empty).os("move_mount", target);
        }
        let data = self.data(|source| source.short.as_deref().unwrap_or(&source.path).as_os_str().to_owned());
        if data.len() < PAGE {
            return in_directory(dir, || mount_classic(target, self.options.flags, &data));
        }
        self.attach_by_numbers(target)
    }

    fn attach_by_numbers(&self, target: &Path) -> Result<()> {
        let mut held = Vec::new();
        for source in &self.lowers {
            held.push(open_path(&source.path)?);
        }
        let mut numbers = held.iter().map(|fd| OsString::from(fd.as_raw_fd().to_string()));
        let lowers: Vec<_> = numbers.by_ref().collect();
        let data = self.data_with(&lowers, |source| source.path.as_os_str().to_owned());
        if data.len() >= PAGE {
            return Err(Error::new(Kind::NotSupported, "mount overlay").at(target).detail(format!(
                "cannot mount layer, mount data of {} bytes is too large for this kernel",
                data.len()
            )));
        }
        in_directory(Path::new("/proc/thread-self/fd"), || mount_classic(target, self.options.flags, &data))
    }

    fn is_mapped(&self) -> bool {
        self.lowers.iter().any(|lower| lower.mapped.is_some())
    }

    /// A detached mount, where the kernel has those.
    fn try_detached(&self, attributes: MountAttrFlags, features: Features) -> Result<Option<OwnedFd>> {
        if !features.detached_overlay() {
            return Ok(None);
        }
        match self.mount_detached(attributes) {
            // It has no layers from mounts without a path.
            Err(error) if self.is_mapped() && error.errno() == Some(libc::EINVAL) => Ok(None),
            mount => mount.map(Some),
        }
    }

    fn check_depth(&self) -> Result<()> {
        if self.lowers.len() <= MAX_LOWERS {
            return Ok(());
        }
        Err(Error::new(Kind::NotSupported, "mount overlay")
            .at(self.name())
            .detail(format!("max depth exceeded: {} directories, the kernel stacks {MAX_LOWERS}", self.lowers.len())))
    }

    /// The directory that names the overlay in errors.
    fn name(&self) -> &Path {
        self.upper.as_ref().map(|upper| &upper.dir).or(self.lowers.first()).map_or(Path::new("overlay"), |s| &s.path)
    }

    fn mount_detached(&self, attributes: MountAttrFlags) -> Result<OwnedFd> {
        let name = self.name();
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).os("fsopen(overlay)", name)?;
        let mut context = Context { fs, name, held: Vec::new(), trees: Trees::default() };
        context.set("source", OsStr::new("overlay"))?;
        for lower in &self.lowers {
            context.set_lower(lower)?;
        }
        if let Some(upper) = &self.upper {
            context.set_directory("upperdir", &upper.dir)?;
            context.set_directory("workdir", &upper.work)?;
        }
        for (key, value) in &self.options.data {
            match value {
                Some(value) => context.set(key, OsStr::new(value))?,
                None => context.set_flag(key)?,
            }
        }
        if self.options.flags.contains(MsFlags::MS_SYNCHRONOUS) {
            context.set_flag("sync")?;
        }
        context.create()?;
        let mount = rustix::mount::fsmount(&context.fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
        mount.map_err(|errno| context.failed("fsmount", errno))
    }

    /// Mounts in the calling thread's private namespace, on a tmpfs over `/proc`, which nothing here needs; `keep` takes what
    /// outlasts the namespace.
    #[allow(clippy::disallowed_methods, reason = "the thread has a directory of its own")]
    fn mount_privately(&self, flags: MsFlags, keep: impl Fn(&Path) -> Result<OwnedFd>) -> Result<OwnedFd> {
        let base = Path::new("/proc");
        mount(Some("tmpfs"), base, Some("tmpfs"), MsFlags::empty(), Some("mode=0700")).os("mount(tmpfs)", base)?;
        std::env::set_current_dir(base).os("chdir", base)?;
        let (mut lowers, mut trees) = (Vec::new(), Trees::default());
        for (index, source) in self.lowers.iter().enumerate() {
            let link = short_link(index);
            if let Some(mapped) = &source.mapped {
                let place = trees.attached(mapped, source)?;
                std::os::unix::fs::symlink(&place, &link).os("symlink", &place)?;
            } else {
                std::os::unix::fs::symlink(&source.path, &link).os("symlink", &source.path)?;
                check_id(source)?;
            }
            lowers.push(OsString::from(link));
        }
        let target = base.join("1");
        std::fs::create_dir(&target).os("mkdir", &target)?;
        let data = self.data_with(&lowers, |source| source.path.as_os_str().to_owned());
        mount_classic(&target, flags, &data)?;
        let root = keep(&target)?;
        umount2(&target, MntFlags::MNT_DETACH).os("umount2(detach)", &target)?;
        Ok(root)
    }

    /// The data of `mount(2)`, with `name` for each directory.
    fn data(&self, name: impl Fn(&Source) -> OsString) -> OsString {
        let lowers: Vec<_> = self.lowers.iter().map(&name).collect();
        self.data_with(&lowers, name)
    }

    fn data_with(&self, lowers: &[OsString], name: impl Fn(&Source) -> OsString) -> OsString {
        let mut data = b"lowerdir=".to_vec();
        for (index, lower) in lowers.iter().enumerate() {
            if index > 0 {
                data.push(b':');
            }
            escape_into(&mut data, lower);
        }
        if let Some(upper) = &self.upper {
            data.extend_from_slice(b",upperdir=");
            escape_into(&mut data, &name(&upper.dir));
            data.extend_from_slice(b",workdir=");
            escape_into(&mut data, &name(&upper.work));
        }
        let options = self.options.data_string();
        if !options.is_empty() {
            data.push(b',');
            data.extend_from_slice(options.as_bytes());
        }
        OsString::from_vec(data)
    }
}

/// A detached clone of what is mounted at `target`, which can be attached in another namespace.
fn bring_out(target: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(rustix::fs::CWD, target, flags).os("open_tree(clone)", target)
}

/// The one call that all kernels have.
fn mount_classic(target: &Path, flags: MsFlags, data: &OsStr) -> Result<()> {
    let own = flags & (MsFlags::MS_NOATIME | MsFlags::MS_RELATIME | MsFlags::MS_STRICTATIME);
    let flags = if own.is_empty() { flags | MsFlags::MS_RELATIME } else { flags };
    mount(Some("overlay"), target, Some("overlay"), flags, Some(data))
        .os("mount(overlay)", target)
        .map_err(|error| error.detail(format!("with {}", shortened(data))))
}

/// A filesystem that is being configured, with what must stay open until it is made.
struct Context<'a> {
    fs: OwnedFd,
    name: &'a Path,
    held: Vec<OwnedFd>,
    trees: Trees,
}

impl Context<'_> {
    fn set(&self, key: &str, value: &OsStr) -> Result<()> {
        rustix::mount::fsconfig_set_string(&self.fs, key, value)
            .map_err(|errno| self.failed(format!("fsconfig({key}={})", value.display()), errno))
    }

    fn set_flag(&self, key: &str) -> Result<()> {
        rustix::mount::fsconfig_set_flag(&self.fs, key).map_err(|errno| self.failed(format!("fsconfig({key})"), errno))
    }

    fn set_lower(&mut self, source: &Source) -> Result<()> {
        match &source.mapped {
            Some(mapped) => {
                let path = self.trees.through_descriptor(mapped, source)?;
                self.set_path("lowerdir+", &path)
            }
            None => self.set_directory("lowerdir+", source),
        }
    }

    fn set_directory(&mut self, key: &str, source: &Source) -> Result<()> {
        if source.held.is_none() {
            check_id(source)?;
        }
        self.set_path(key, source.held.as_ref().unwrap_or(&source.path))
    }

    /// A path that is too long, or that the kernel would unescape, is given through a descriptor.
    fn set_path(&mut self, key: &str, path: &Path) -> Result<()> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() <= LONGEST_VALUE && !bytes.contains(&b'\\') {
            return self.set(key, path.as_os_str());
        }
        let fd = open_path(path)?;
        let short = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
        self.held.push(fd);
        self.set(key, OsStr::new(&short))
    }

    fn create(&self) -> Result<()> {
        rustix::mount::fsconfig_create(&self.fs).map_err(|errno| self.failed("fsconfig(create overlay)", errno))
    }

    /// An error with the words that the kernel left in the descriptor.
    fn failed(&self, call: impl Into<std::borrow::Cow<'static, str>>, errno: rustix::io::Errno) -> Error {
        let mut words = Vec::new();
        let mut buffer = [0_u8; 512];
        while let Ok(length @ 1..) = rustix::io::read(self.fs.as_fd(), &mut buffer) {
            words.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
            if words.len() > 8 {
                break;
            }
        }
        let error = Error::os(call, self.name, errno);
        if words.is_empty() { error } else { error.detail(format!("the kernel says {:?}", words.join("; "))) }
    }
}

fn check_id(source: &Source) -> Result<()> {
    match source.id {
        Some(id) if FileId::of_path(&source.path)? != Some(id) => Err(Error::new(Kind::Changed, "mount overlay")
            .at(&source.path)
            .detail("another directory has taken its place")),
        _ => Ok(()),
    }
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).os("open(directory)", path)
}

/// A name of one or two letters for each of the first 702 indices.
fn short_link(index: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    if index < 26 { letter(index).to_string() } else { [letter(index / 26 - 1), letter(index)].iter().collect() }
}

fn escape_into(data: &mut Vec<u8>, name: &OsStr) {
    for byte in name.as_bytes() {
        if matches!(byte, b'\\' | b',' | b':') {
            data.push(b'\\');
        }
        data.push(*byte);
    }
}

fn shortened(data: &OsStr) -> String {
    let text = data.to_string_lossy();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
