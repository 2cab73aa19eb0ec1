//! Whiteouts: entries that hide what lower layers have.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Extractor;
use super::parent::{Missing, is_whiteout};
use crate::archive::ingest::{Whiteouts, refused};
use crate::archive::names;
use crate::archive::tar::{Entry, shown};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::beneath::{self, Links};
use crate::fs::xattr;
use crate::task::Task;

impl Extractor<'_> {
    /// Applies the whiteout `name` in `dir`.
    pub(super) fn whiteout(&mut self, entry: &Entry, dir: &[u8], name: &[u8], task: &Task) -> Result<()> {
        let hidden = &name[names::WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(names::escape(&entry.name, "is a whiteout of no file"));
        }
        if name.starts_with(names::WHITEOUT_META) && name != names::OPAQUE {
            return Ok(()); // What AUFS kept for itself.
        }
        match self.try_enter(dir) {
            Ok(()) => {}
            // Some tools hide a directory and then what was in it.
            Err(Missing::NotDirectory) if self.is_hidden(dir)? => return Ok(()),
            Err(Missing::NotDirectory) => return Err(refused(format!("{:?} is not a directory", shown(dir)))),
            Err(Missing::Other(error)) => return Err(error),
        }
        match (self.whiteouts, name == names::OPAQUE) {
            (Whiteouts::Apply, true) => self.clear_foreign(task),
            (Whiteouts::Apply, false) => self.clear(hidden, task),
            (Whiteouts::Overlay { .. }, true) => self.hide_all(task),
            (Whiteouts::Overlay { .. }, false) => self.hide(entry, hidden, task),
        }
    }

    /// Whether a directory on the way to `dir` is hidden by a whiteout.
    fn is_hidden(&self, dir: &[u8]) -> Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut part = dir;
        loop {
            let opened = beneath::try_open(self.root, names::os(part).as_ref(), flags, Mode::empty(), Links::Refuse);
            match opened.and_then(rustix::fs::fstat) {
                Ok(stat) => return Ok(is_whiteout(&stat)),
                Err(Errno::LOOP) => return Ok(false),
                Err(Errno::NOTDIR | Errno::NOENT) if !part.is_empty() => part = names::split(part).0,
                Err(errno) => return Err(errno).os("fstatat", names::os(part)),
            }
        }
    }

    fn hide(&mut self, entry: &Entry, hidden: &[u8], task: &Task) -> Result<()> {
        self.make(hidden, task, |dir, name| {
            rustix::fs::mknodat(dir, names::os(name), FileType::CharacterDevice, Mode::empty(), 0)
        })?;
        self.owner(entry, hidden)
    }

    /// Hides what lower layers have in the current directory, and removes what the layer itself had in it before.
    fn hide_all(&mut self, task: &Task) -> Result<()> {
        if self.here().real.is_empty() {
            return Err(Error::new(Kind::NotSupported, "extract archive")
                .detail(
                    "the entry \".wh..wh..opq\" hides all of the lower layers: the kernel can't do that at the root",
                )
                .remedy("use an archive that deletes each entry of the root, or a driver without overlay"));
        }
        self.clear_foreign(task)?;
        self.make_opaque_here()
    }

    fn make_opaque_here(&self) -> Result<()> {
        let parent = self.here();
        let done = xattr::set_fd(parent.fd.as_fd(), self.opaque_key(), b"y");
        done.os("fsetxattr(overlay.opaque)", names::os(&parent.real))
    }

    /// Makes the directory `name` in the current one opaque.
    pub(super) fn make_opaque(&self, name: &[u8]) -> Result<()> {
        let done = xattr::set(self.here().fd.as_fd(), names::os(name), self.opaque_key(), b"y");
        done.os("lsetxattr(overlay.opaque)", names::os(name))
    }

    fn opaque_key(&self) -> &'static std::ffi::CStr {
        match self.whiteouts {
            Whiteouts::Overlay { user_xattr: true } => c"user.overlay.opaque",
            _ => c"trusted.overlay.opaque",
        }
    }
}
