//! Owner, mode, extended attributes and times, in the order in which none undoes another.

use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::Extractor;
use crate::archive::ingest::{Whiteouts, refused};
use crate::archive::names;
use crate::archive::tar::{Entry, EntryKind, shown};
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::xattr;
use crate::idmap::Owner;

impl Extractor<'_> {
    /// Attributes of an open file. A change of owner clears set-user-id and capabilities, so it comes first; times last.
    pub(super) fn file_attributes(&self, file: impl AsFd, entry: &Entry, inherits_group: bool) -> Result<()> {
        let path = names::os(&entry.name);
        let owner = self.owner_of(entry)?;
        if inherits_group || owner != self.own {
            let (uid, gid) = ids(owner);
            self.chowned(rustix::fs::fchown(&file, uid, gid)).os("fchown", path)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).os("fchmod", path)?;
        self.xattrs(entry, |key, value| xattr::set_fd(file.as_fd(), key, value))?;
        rustix::fs::futimens(&file, &times(entry)).os("futimens", path)
    }

    /// Attributes of anything else, by its name in the current directory.
    pub(super) fn attributes(&self, entry: &Entry, name: &[u8]) -> Result<()> {
        self.owner(entry, name)?;
        let dir = self.here().fd.as_fd();
        let path = names::os(&entry.name);
        let name = names::os(name);
        if entry.kind != EntryKind::Symlink {
            let mode = Mode::from_raw_mode(entry.mode);
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty()).os("fchmodat", path)?;
        }
        self.xattrs(entry, |key, value| xattr::set(dir, name, key, value))?;
        rustix::fs::utimensat(dir, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW).os("utimensat", path)
    }

    pub(super) fn owner(&self, entry: &Entry, name: &[u8]) -> Result<()> {
        let parent = self.here();
        let owner = self.owner_of(entry)?;
        if !parent.inherits_group && owner == self.own && entry.kind != EntryKind::Directory {
            return Ok(());
        }
        let (uid, gid) = ids(owner);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        self.chowned(rustix::fs::chownat(&parent.fd, names::os(name), uid, gid, flags))
            .os("fchownat", names::os(&entry.name))
    }

    /// The owner with which the entry's file is kept.
    fn owner_of(&self, entry: &Entry) -> Result<Owner> {
        let inside = Owner { uid: entry.uid, gid: entry.gid };
        self.maps.to_host(inside).ok_or_else(|| {
            Error::new(Kind::InvalidMappings, "extract archive")
                .at(names::os(&entry.name))
                .detail(format!("its owner {inside} is outside the maps of the layer"))
                .remedy("use maps with a range for it")
        })
    }

    /// The owner of a directory that the archive names only as a part of other names: the container's root.
    pub(super) fn implied_owner(&self) -> Result<Option<Owner>> {
        if self.maps.is_empty() { Ok(None) } else { self.maps.root().map(Some) }
    }

    pub(super) fn chowned(&self, done: rustix::io::Result<()>) -> rustix::io::Result<()> {
        if self.strictness.ignore_chown_errors { Ok(()) } else { done }
    }

    /// Attributes that the overlay filesystem or `SELinux` keep for themselves are never taken from an archive.
    fn xattrs(&self, entry: &Entry, set: impl Fn(&std::ffi::CStr, &[u8]) -> rustix::io::Result<()>) -> Result<()> {
        for (key, value) in &entry.xattrs {
            if is_reserved(key) {
                continue;
            }
            let key = CString::new(key.as_slice()).map_err(|_| refused("an xattr's name holds a NUL"))?;
            match set(&key, value) {
                Err(Errno::OPNOTSUPP) => {}
                Err(Errno::PERM) if self.strictness.in_user_ns => {}
                done => done.os("setxattr", names::os(&entry.name)).map_err(|error| {
                    error.detail(format!("the attribute {:?} of {:?}", shown(key.as_bytes()), shown(&entry.name)))
                })?,
            }
        }
        Ok(())
    }

    /// An entry for a directory that exists replaces its attributes: those that it doesn't have go.
    pub(super) fn drop_foreign_xattrs(&self, entry: &Entry, name: &[u8]) -> Result<()> {
        if self.whiteouts != Whiteouts::Apply {
            return Ok(());
        }
        let dir = self.here().fd.as_fd();
        for key in xattr::list(dir, names::os(name)).os("llistxattr", names::os(name))? {
            let bytes = key.as_bytes();
            let stays = entry.xattrs.iter().any(|(wanted, _)| wanted == bytes);
            if bytes.starts_with(b"user.") && !is_reserved(bytes) && !stays {
                xattr::remove(dir, names::os(name), &key).os("lremovexattr", names::os(name))?;
            }
        }
        Ok(())
    }
}

fn is_reserved(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.") || key == b"security.selinux"
}

pub(super) fn ids(owner: Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

/// The time of the last access is never before that of the last change.
fn times(entry: &Entry) -> Timestamps {
    let mtime = entry.mtime;
    let atime = entry.atime.unwrap_or(mtime).max(mtime);
    let spec = |time: crate::archive::tar::Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: spec(atime), last_modification: spec(mtime) }
}
