//! Attaching a layer at its `merged` directory, and detaching it.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::{MntFlags, umount2};
use rustix::fs::{Mode, OFlags};
use storage_core::driver::{self, Detached, Extent, LayerRef, MountOptions};
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
use crate::home::make_dir;
use crate::options::check_mount_options;
use crate::part::Part;
use crate::private_home;

/// How many stacked mounts are taken away at most: more are somebody's loop.
const MOST_MOUNTS: usize = 1000;

/// Whether a mount can be written through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Overlay {
    /// Where the layer is mounted. A layer that others may show too, each with a run root of their own, has its place there.
    pub(crate) fn merged(&self, id: &LayerId, home: driver::Home) -> PathBuf {
        match home {
            driver::Home::Own => self.homes.own().merged(id),
            _ => self.run_home.join(id.as_str()).join("merged"),
        }
    }

    /// Whether a layer is mounted there. Fails with [`Kind::Busy`] when it is something else that is: whoever was shown that
    /// would take it for the layer.
    pub(crate) fn is_attached(merged: &Path) -> Result<bool> {
        let mounted = is_mount_root(merged)?;
        if mounted {
            check_kind(merged, "look for mount")?;
        }
        Ok(mounted)
    }

    /// Attaches the layer at its mount point.
    pub(crate) fn attach(&self, layer: &LayerRef, options: &MountOptions) -> Result<PathBuf> {
        let merged = self.merged(&layer.id, layer.home);
        let is_own = layer.home == driver::Home::Own;
        let may = if is_own { Access::Write } else { Access::Read };
        let (flags, access) = self.mount_flags(options, may)?;
        let home = self.homes.own().root();
        if is_own && !self.options.skip_mount_home {
            private_home::make(home)?;
        }
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "mount layer").at(merged).detail("something is mounted there already"));
        }
        heal(&self.homes, layer)?;
        if !is_own {
            DirBuilder::new().recursive(true).mode(0o700).create(&merged).os("mkdir", &merged)?;
        }
        let steps = lowers(&self.homes, layer)?;
        heal_steps(&self.homes, &steps)?;
        let mut parts = Vec::new();
        let namespace = options.namespace.as_ref().filter(|namespace| !namespace.maps().is_identity());
        let mut stack = self.stack(layer, &steps, flags, access, &mut parts)?;
        if let Some(namespace) = namespace {
            self.map_owners(&mut stack, layer, namespace, &parts)?;
        }
        stack.attach(&merged, home, self.way.features)?;
        Ok(merged)
    }

    /// What is told to the kernel, and whether anybody may write: `may` is the most that is allowed.
    fn mount_flags(&self, options: &MountOptions, may: Access) -> Result<(MountFlags, Access)> {
        let mut flags = if options.options.is_empty() {
            self.options.mount_flags()
        } else {
            check_mount_options(options.options.iter().map(String::as_str))?
        };
        let read_only =
            may == Access::Read || options.read_only || flags.flags.contains(nix::mount::MsFlags::MS_RDONLY);
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
        Ok((flags, if read_only { Access::Read } else { Access::Write }))
    }

    /// What is to be mounted. The layers of which it needs descriptors are added to `parts`.
    fn stack(
        &self,
        layer: &LayerRef,
        steps: &[Step],
        options: MountFlags,
        access: Access,
        parts: &mut Vec<Arc<Part>>,
    ) -> Result<Stack> {
        let own = Part::open(&self.homes, &layer.id, layer.home)?;
        let mut own_sources: Vec<Source> = self.named_sources(&own).collect();
        let mut lowers: Vec<Source> = own_sources.split_off(1);
        let diff = own_sources.pop();
        let layer_dir = own.pin.path().to_path_buf();
        parts.push(own);
        for step in steps {
            let part = Part::open(&self.homes, &step.layer.id, step.layer.home)?;
            let mut sources = self.named_sources(&part);
            lowers.extend(sources.next().map(|diff| self.short_source(step, diff)));
            lowers.extend(sources);
            parts.push(part);
        }
        if lowers.is_empty() {
            lowers.push(self.nothing_below(layer)?);
        }
        if access == Access::Read {
            lowers.splice(0..0, diff);
            return Ok(Stack { lowers, upper: None, options });
        }
        let work = layer_dir.join("work");
        remove_tree(&work.join("work/incompat/volatile"), &Task::new("mount layer"))?;
        let work = Source { short: Some(Path::new(layer.id.as_str()).join("work")), ..Source::at(work) };
        let upper = diff.map(|dir| Upper { dir, work });
        Ok(Stack { lowers, upper, options })
    }

    /// An empty directory for a layer that stands on nothing.
    fn nothing_below(&self, layer: &LayerRef) -> Result<Source> {
        let (empty, short) = match layer.home {
            driver::Home::Own => {
                (self.homes.own().layer(&layer.id).join("empty"), Some(Path::new(layer.id.as_str()).join("empty")))
            }
            _ => (self.run_home.join(layer.id.as_str()).join("empty"), None),
        };
        make_dir(&empty, 0o700)?;
        Ok(Source { short, ..Source::at(empty) })
    }

    /// The directories of a layer as a mount names them. One that has a path shows the paths of what it stacks, since a
    /// descriptor's number would tell an operator nothing; but paths in an additional store are its owner's to change.
    fn named_sources(&self, part: &Part) -> impl Iterator<Item = Source> {
        let ours = part.layer.home.is_writable();
        let by_path = !self.way.features.detached_overlay();
        part.sources().map(move |source| match source.held {
            Some(held) if !ours && by_path => Source::at(held),
            _ if ours => Source { held: None, ..source },
            _ => source,
        })
    }

    /// A lower layer of ours by its short name, which has just been verified.
    fn short_source(&self, step: &Step, diff: Source) -> Source {
        let Ok(home) = self.homes.writable(step.layer.home) else { return diff };
        let short = Path::new("l").join(step.link.as_str());
        let path = home.root().join(&short);
        Source { short: (step.layer.home == driver::Home::Own).then_some(short), ..Source::at(path) }
    }

    /// Detaches mounts of the layer. Only ever touches the layer's own mount point, and only what a driver like this one
    /// mounts there.
    pub(crate) fn detach(&self, id: &LayerId, home: driver::Home, extent: Extent) -> Result<Detached> {
        let merged = self.merged(id, home);
        let most = if extent == Extent::One { 1 } else { MOST_MOUNTS };
        let mut mounts = Vec::new();
        if extent == Extent::Unused {
            for _ in 0..most {
                if !is_mount_root(&merged)? {
                    break;
                }
                check_kind(&merged, "unmount layer")?;
                umount2(&merged, MntFlags::UMOUNT_NOFOLLOW).os("umount2", &merged)?;
            }
            return Ok(Detached::default());
        }
        while mounts.len() < most && is_mount_root(&merged)? {
            mounts.push(detach_one(&merged)?);
        }
        if home != driver::Home::Own {
            // The place in the run root is made for each mount. What is still in use there is left.
            let place = self.run_home.join(id.as_str());
            let _ = ["merged", "empty", ""].map(|name| std::fs::remove_dir(place.join(name)));
        }
        Ok(Detached::new(mounts))
    }
}

/// Fails with [`Kind::Busy`] when what is mounted at `merged` is nothing that a driver like this one mounts.
fn check_kind(merged: &Path, operation: &'static str) -> Result<()> {
    let kind = filesystem_type(merged)?;
    if kind != FilesystemType::OVERLAY && kind != FilesystemType::FUSE {
        return Err(Error::new(Kind::Busy, operation)
            .at(merged)
            .detail(format!("what is mounted there is no overlay but {}", kind.name()))
            .remedy("unmount it by hand"));
    }
    Ok(())
}

fn detach_one(merged: &Path) -> Result<OwnedFd> {
    check_kind(merged, "unmount layer")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mount = rustix::fs::open(merged, flags, Mode::empty()).os("open(O_PATH)", merged)?;
    umount2(merged, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", merged)?;
    Ok(mount)
}
