//! The tour's own directory: made by it, and removed by it.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::mount::MntFlags;
use storage_core::error::OsContext;
use storage_core::fs::remove::remove_tree;
use storage_core::{Error, Kind, Result, Task};

use super::outside::mounts_below;
use crate::output::complain;
use crate::roots;

/// How the directory's name begins.
const PREFIX: &str = "lamina-tour-";

/// A directory that only this process uses. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    removed: bool,
}

impl Scratch {
    /// Makes one below `parent`; else below `$TMPDIR`, `/var/tmp` or `/tmp`, the first that may be written.
    pub(crate) fn make(parent: Option<&str>) -> Result<Self> {
        if let Some(parent) = parent {
            return Scratch::make_in(&roots::absolute(parent)?);
        }
        let given = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let mut failure = None;
        for parent in given.into_iter().chain(["/var/tmp".into(), "/tmp".into()]) {
            match Scratch::make_in(&parent) {
                Ok(scratch) => return Ok(scratch),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::NotFound, "make scratch directory")))
    }

    fn make_in(parent: &Path) -> Result<Self> {
        let parent = parent.canonicalize().os("find directory", parent)?;
        let mut random = [0_u8; 4];
        getrandom::fill(&mut random)
            .map_err(|source| Error::new(Kind::Io, "get random bytes").because(source.to_string()))?;
        let name = format!("{PREFIX}{}-{:08x}", std::process::id(), u32::from_ne_bytes(random));
        let path = parent.join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path).os("mkdir", &path)?;
        Ok(Scratch { path, removed: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends mounts below the directory, and deletes it.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.removed = true;
        clear(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = clear(&self.path)
        {
            complain(error);
        }
    }
}

/// Deletes a directory that [`Scratch`] made, after ending what is mounted below it. While anything stays mounted,
/// nothing is deleted.
pub(crate) fn clear(path: &Path) -> Result<()> {
    let own =
        path.ancestors().any(|each| each.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)));
    if !own || !path.is_absolute() {
        return Err(Error::new(Kind::Escape, "remove scratch directory").at(path));
    }
    let mut mounts = mounts_below(path)?;
    mounts.reverse();
    for mount in mounts {
        nix::mount::umount2(&mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .os("umount2(MNT_DETACH)", &mount)?;
    }
    if let Some(left) = mounts_below(path)?.first() {
        return Err(Error::new(Kind::Busy, "remove scratch directory")
            .at(path)
            .detail(format!("{} is still mounted", left.display()))
            .remedy("unmount it and delete the directory"));
    }
    remove_tree(path, &Task::new("remove scratch directory"))
}
