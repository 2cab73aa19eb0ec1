//! Attaching a layer at its `merged` directory, and detaching it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use rustix::fs::{Mode, OFlags};
use storage_core::driver::{Detached, Extent, LayerRef, MountOptions};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::remove::remove_tree;
use storage_core::ids::LayerId;
use storage_core::mount::{
    FilesystemType, MountFlags, Overlay as Stack, Source, Upper, filesystem_type, is_mount_root,
};
use storage_core::task::Task;

use crate::Overlay;
use crate::chain::{Step, lowers};
use crate::heal::{heal, heal_steps};
use crate::options::check_mount_options;
use crate::part::Part;
use crate::private_home;

/// How many stacked mounts are taken away at most: more are somebody's loop.
const MOST_MOUNTS: usize = 1000;

impl Overlay {
    /// Attaches the layer at its mount point.
    pub(crate) fn attach(&self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        let merged = self.home.merged(&layer.id);
        let (flags, read_only) = self.mount_flags(options)?;
        if !self.options.skip_mount_home {
            private_home::make(self.home.root())?;
        }
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "mount layer").at(merged).detail("something is mounted there already"));
        }
        heal(&self.home, layer)?;
        let steps = lowers(&self.home, layer)?;
        heal_steps(&self.home, &steps)?;
        self.stack(layer, &steps, flags, read_only)?.attach(&merged, self.home.root(), self.way.features)?;
        Ok(merged)
    }

    /// What is told to the kernel, and whether nobody may write.
    fn mount_flags(&self, options: &MountOptions) -> Result<(MountFlags, bool)> {
        let mut flags = if options.options.is_empty() {
            self.options.mount_flags()
        } else {
            check_mount_options(options.options.iter().map(String::as_str))?
        };
        let read_only = options.read_only || flags.flags.contains(nix::mount::MsFlags::MS_RDONLY);
        if read_only {
            flags.flags |= nix::mount::MsFlags::MS_RDONLY;
        }
        let volatile = flags.value("volatile").is_some() || options.volatile;
        let usable = |key: &str| match key {
            "metacopy" => self.kernel.metacopy,
            // A promise of durability less is made, never more: where the kernel can't, the mount flushes.
            "volatile" => false,
            _ => true,
        };
        flags.data.retain(|(key, _)| usable(key));
        if volatile && self.kernel.volatile && !read_only {
            flags.data.push(("volatile".to_owned(), None));
        }
        if self.way.user_xattr {
            flags.data.push(("userxattr".to_owned(), None));
        }
        if !options.label.is_empty() {
            flags.data.push(("context".to_owned(), Some(options.label.clone())));
        }
        Ok((flags, read_only))
    }

    fn stack(&self, layer: &LayerRef, steps: &[Step], options: MountFlags, read_only: bool) -> Result<Stack> {
        let own = Part::open(&self.home, &layer.id)?;
        let mut own_sources = own.sources().map(forget_handle);
        let diff = own_sources.next();
        let mut lowers: Vec<Source> = own_sources.collect();
        for step in steps {
            let part = Part::open(&self.home, &step.id)?;
            let mut sources = part.sources().map(forget_handle);
            sources.next();
            lowers.push(self.short_source(step));
            lowers.extend(sources);
        }
        let layer_dir = own.pin.path().to_path_buf();
        if lowers.is_empty() {
            let empty = layer_dir.join("empty");
            crate::home::make_dir(&empty, 0o700)?;
            lowers.push(Source { short: Some(Path::new(layer.id.as_str()).join("empty")), ..Source::at(empty) });
        }
        if read_only {
            lowers.splice(0..0, diff);
            return Ok(Stack { lowers, upper: None, options });
        }
        let work = layer_dir.join("work");
        remove_tree(&work.join("work/incompat/volatile"), &Task::new("mount layer"))?;
        let work = Source { short: Some(Path::new(layer.id.as_str()).join("work")), ..Source::at(work) };
        let upper = diff.map(|dir| Upper { dir, work });
        Ok(Stack { lowers, upper, options })
    }

    /// A lower layer by its short name, which has just been verified.
    fn short_source(&self, step: &Step) -> Source {
        let path = self.home.links().join(step.link.as_str());
        Source { short: Some(Path::new("l").join(step.link.as_str())), ..Source::at(path) }
    }

    /// Detaches mounts of the layer. Only ever touches the layer's own mount point, and only what a driver like this one
    /// mounts there.
    pub(crate) fn detach(&self, id: &LayerId, extent: Extent) -> Result<Detached> {
        let merged = self.home.merged(id);
        let most = if extent == Extent::One { 1 } else { MOST_MOUNTS };
        let mut mounts = Vec::new();
        if extent == Extent::Unused {
            for _ in 0..most {
                if !is_mount_root(&merged)? {
                    break;
                }
                check_kind(&merged)?;
                umount2(&merged, MntFlags::UMOUNT_NOFOLLOW).os("umount2", &merged)?;
            }
            return Ok(Detached::default());
        }
        while mounts.len() < most && is_mount_root(&merged)? {
            mounts.push(detach_one(&merged)?);
        }
        Ok(Detached::new(mounts))
    }
}

/// Fails with [`Kind::Busy`] when what is mounted at `merged` is nothing that a driver like this one mounts.
fn check_kind(merged: &Path) -> Result<()> {
    let kind = filesystem_type(merged)?;
    if kind != FilesystemType::OVERLAY && kind != FilesystemType::FUSE {
        return Err(Error::new(Kind::Busy, "unmount layer")
            .at(merged)
            .detail(format!("what is mounted there is no overlay but {}", kind.name())));
    }
    Ok(())
}

fn detach_one(merged: &Path) -> Result<OwnedFd> {
    check_kind(merged)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mount = rustix::fs::open(merged, flags, Mode::empty()).os("open(O_PATH)", merged)?;
    umount2(merged, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", merged)?;
    Ok(mount)
}

/// A mount that has a path shows the paths of what it stacks; a descriptor's number would tell an operator nothing.
fn forget_handle(source: Source) -> Source {
    Source { held: None, ..source }
}
