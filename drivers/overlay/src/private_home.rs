//! The home as a mount of its own, private to this mount namespace.
//!
//! The reference binds the home on itself before it first mounts a layer, and takes the bind away at shutdown. A layer that was
//! mounted before such a bind would be hidden below it: counted, listed by the kernel, and out of reach by its path. So a
//! layer is only ever mounted when the bind is there, whoever made it.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use storage_core::error::{OsContext, Result};
use storage_core::mount::{MountInfo, is_mount_root, mounts_here};

/// Makes the home a mount unless it is one already, and the mount private. The caller holds the layers for mounting.
pub(crate) fn make(home: &Path) -> Result<()> {
    let nothing: Option<&str> = None;
    if !is_mount_root(home)? {
        mount(Some(home), home, nothing, MsFlags::MS_BIND, nothing).os("mount(bind)", home)?;
    }
    mount(nothing, home, nothing, MsFlags::MS_PRIVATE, nothing).os("mount(private)", home)
}

/// Takes the bind away. Anything else that somebody mounted at the home is left alone.
pub(crate) fn take_away(home: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !is_mount_root(home)? {
        return Ok(None);
    }
    let kept = rustix::fs::open(home, flags, Mode::empty()).os("open(O_PATH)", home)?;
    if !is_bind_of_itself(home)? {
        return Ok(None);
    }
    umount2(home, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).os("umount2(detach)", home)?;
    Ok(Some(kept))
}

/// Whether what is mounted at the home is the very directory that is mounted over.
fn is_bind_of_itself(home: &Path) -> Result<bool> {
    let above = home.parent().unwrap_or(home);
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).os("stat", path);
    if device(home)? != device(above)? {
        return Ok(false);
    }
    let above = std::fs::canonicalize(above).os("realpath", above)?;
    let real = home.file_name().map_or_else(|| above.clone(), |name| above.join(name));
    Ok(shows_itself(&mounts_here()?, &real))
}

/// Whether the topmost mount at `home` shows the directory that stands there in the mount around it.
fn shows_itself(mounts: &[MountInfo], home: &Path) -> bool {
    let Some(top) = mounts.iter().rfind(|mount| mount.mount_point == home) else { return false };
    // The mount around it is the one that was last made at the nearest place above.
    let around = mounts.iter().filter(|mount| mount.mount_point != home && home.starts_with(&mount.mount_point));
    let Some(around) = around.max_by_key(|mount| mount.mount_point.components().count()) else { return false };
    let Ok(relative) = home.strip_prefix(&around.mount_point) else { return false };
    top.root == around.root.join(relative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_core::mount::parse_mountinfo;

    #[test]
    fn only_a_bind_of_the_home_on_itself_is_ours_to_take_away() {
        let shows = |text: &str| shows_itself(&parse_mountinfo(text.as_bytes()), Path::new("/var/lib/c/overlay"));
        let line = |id: u32, root: &str, point: &str| format!("{id} 1 8:1 {root} {point} rw - ext4 /dev/sda1 rw\n");
        let root = line(20, "/", "/");
        assert!(shows(&(root.clone() + &line(30, "/var/lib/c/overlay", "/var/lib/c/overlay"))));
        assert!(!shows(&(root.clone() + &line(30, "/srv/elsewhere", "/var/lib/c/overlay"))), "another directory");
        assert!(!shows(&root), "no mount");
        let around = root + &line(25, "/data", "/var/lib");
        assert!(shows(&(around.clone() + &line(30, "/data/c/overlay", "/var/lib/c/overlay"))));
        assert!(!shows(&(around + &line(30, "/var/lib/c/overlay", "/var/lib/c/overlay"))), "from below another mount");
    }
}
