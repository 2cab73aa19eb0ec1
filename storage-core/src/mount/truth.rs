//! What the kernel says is mounted, in this mount namespace.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags};

use super::mountinfo::{MountInfo, parse_mountinfo};
use crate::error::{Error, OsContext, Result};

/// `STATX_MNT_ID_UNIQUE` (6.8): the number of a mount that is never used again until reboot.
const MNT_ID_UNIQUE: u32 = 0x4000;

/// A filesystem, as `statfs` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilesystemType(pub u64);

impl FilesystemType {
    /// Overlay.
    pub const OVERLAY: FilesystemType = FilesystemType(0x794c_7630);
    /// A filesystem in user space, which `fuse-overlayfs` is.
    pub const FUSE: FilesystemType = FilesystemType(0x6573_5546);

    /// The name that the reference shows.
    pub fn name(self) -> &'static str {
        match self.0 {
            0xef53 => "extfs",
            0x5846_5342 => "xfs",
            0x9123_683e => "btrfs",
            0x0102_1994 => "tmpfs",
            0x794c_7630 => "overlayfs",
            0x2fc1_2fc1 => "zfs",
            0x6573_5546 => "fuse",
            0x6969 => "nfs",
            0xfe53_4d42 => "smb2",
            0xff53_4d42 => "cifs",
            0x6173_6670 | 0x6175_6673 => "aufs",
            0xf15f => "ecryptfs",
            0xf2f5_2010 => "f2fs",
            0x0187 => "autofs",
            0x0102_1997 => "v9fs",
            0x8584_58f6 => "ramfs",
            0x0bd0_0bd0 => "lustre",
            0x4750_4653 => "gpfs",
            0xca45_1a4e => "bcachefs",
            _ => "<unknown>",
        }
    }

    /// Whether its files are kept by another machine, so that locks and xattrs can't be relied on.
    pub fn is_network(self) -> bool {
        matches!(self.name(), "nfs" | "smb2" | "cifs" | "v9fs" | "lustre" | "gpfs")
    }
}

/// The type of the filesystem that `path` is on.
pub fn filesystem_type(path: &Path) -> Result<FilesystemType> {
    let stat = rustix::fs::statfs(path).os("statfs", path)?;
    Ok(FilesystemType(stat.f_type as u32 as u64))
}

/// Whether `path` is the root of a mount in this mount namespace. A final link is not followed; nothing there is `false`.
pub fn is_mount_root(path: &Path) -> Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::TYPE) {
        Ok(stat) => mount_root_of(&stat, path),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno).os("statx", path),
    }
}

/// Whether what `fd` has open is the root of its mount; `path` names it in errors.
pub fn is_mount_root_fd(fd: impl AsFd, path: &Path) -> Result<bool> {
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE).os("statx", path)?;
    mount_root_of(&stat, path)
}

/// Kernels before 5.8 don't say it in `statx`: the table of mounts does.
fn mount_root_of(stat: &Statx, path: &Path) -> Result<bool> {
    if stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let real = std::fs::canonicalize(path).os("realpath", path)?;
    Ok(mounts_here()?.iter().any(|mount| mount.mount_point == real))
}

/// The kernel's number of the mount that `fd` is on: one that is never used again where the kernel has those (6.8).
pub fn mount_id(fd: impl AsFd, path: &Path) -> Result<u64> {
    let mask = StatxFlags::MNT_ID | StatxFlags::from_bits_retain(MNT_ID_UNIQUE);
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, mask).os("statx", path)?;
    let known = StatxFlags::MNT_ID.bits() | MNT_ID_UNIQUE;
    if stat.stx_mask & known == 0 {
        return Err(Error::os("statx(mount id)", path, std::io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
    }
    Ok(stat.stx_mnt_id)
}

/// The mounts of this thread's mount namespace.
pub fn mounts_here() -> Result<Vec<MountInfo>> {
    let path = Path::new("/proc/thread-self/mountinfo");
    Ok(parse_mountinfo(&std::fs::read(path).os("read", path)?))
}

/// The kernel's name for the time since this machine was started. None where it can't be read, and none where something is
/// mounted over it, as container managers do: their own name would make the mounts of the machine look like those of a former
/// boot.
pub fn boot_id() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    BOOT.get_or_init(|| boot_id_at(Path::new("/proc/sys/kernel/random/boot_id"))).as_deref()
}

fn boot_id_at(path: &Path) -> Option<String> {
    if is_mount_root(path).unwrap_or(true) {
        return None;
    }
    let id = std::fs::read_to_string(path).ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Whether this process is in a user namespace other than the first one, where `trusted.` xattrs are out of reach.
pub fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_whole_map(&map))
}

fn is_whole_map(map: &str) -> bool {
    let mut fields = map.split_ascii_whitespace();
    let first = (fields.next(), fields.next(), fields.next());
    first == (Some("0"), Some("0"), Some("4294967295")) && fields.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_proc_is_a_mount_and_a_directory_below_it_is_not() {
        assert!(is_mount_root(Path::new("/proc")).expect("statx"));
        assert!(!is_mount_root(Path::new("/proc/self/task")).expect("statx"));
        assert!(!is_mount_root(Path::new("/no/such/place")).expect("nothing there is no mount"));
        let boot = Path::new("/proc/sys/kernel/random/boot_id");
        assert_eq!(boot_id_at(boot).is_none(), is_mount_root(boot).expect("statx"));
        assert_eq!(boot_id_at(Path::new("/proc")), None, "what is mounted there is not the kernel's name");
        let listed = mounts_here().expect("mountinfo");
        assert!(listed.iter().any(|mount| mount.mount_point == Path::new("/proc") && mount.filesystem == "proc"));
    }

    #[test]
    fn only_the_map_of_everything_is_the_first_user_namespace() {
        assert!(is_whole_map("         0          0 4294967295\n"));
        assert!(!is_whole_map("         0       1000          1\n"));
        assert!(!is_whole_map("0 0 1000\n1000 1000 4294966295\n"));
    }

    #[test]
    fn mount_ids_tell_two_mounts_apart() {
        let open = |path: &str| std::fs::File::open(path).expect("open");
        let id = |path: &str| mount_id(open(path), Path::new(path)).expect("statx");
        assert_eq!(id("/proc"), id("/proc/self"));
        assert_ne!(id("/proc"), id("/"));
    }
}
