//! The calls of btrfs: subvolumes and snapshots, what the kernel tells about them, quotas, and the send stream.
//!
//! They are `ioctl`s on an open directory. On another filesystem each fails with `ENOTTY`.
#![allow(unsafe_code, reason = "no crate wraps these calls; these files are their one address")]

mod quota;
mod send;
mod subvolume;
mod tell;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

pub use quota::{Accounting, enable_quota, limit_referenced};
pub use send::send_changes;
pub use subvolume::{Writing, create_subvolume, destroy_by_id, destroy_by_name, is_read_only, set_writing, snapshot};
pub use tell::{Info, Names, Nested, Time, info, names_of_inode, nested};

/// The kernel's `BTRFS_IOCTL_MAGIC`.
const MAGIC: u8 = 0x94;

/// The number of the root directory of every subvolume.
pub const ROOT_INODE: u64 = 256;

/// `f_type` of `statfs(2)`.
pub const SUPER_MAGIC: u64 = 0x9123_683e;

/// Puts one name into a field of the kernel's, which ends with a zero.
fn put_name(field: &mut [u8], name: &OsStr) -> nix::Result<()> {
    let name = name.as_bytes();
    if name.is_empty() || name.contains(&0) || name.contains(&b'/') {
        return Err(Errno::EINVAL);
    }
    let end = name.len();
    if end >= field.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    field[..end].copy_from_slice(name);
    field[end..].fill(0);
    Ok(())
}

/// What stands in such a field.
fn get_name(field: &[u8]) -> &OsStr {
    OsStr::from_bytes(field.split(|byte| *byte == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_or_is_refused() {
        let mut field = [7_u8; 8];
        put_name(&mut field, OsStr::new("seven77")).expect("it fits");
        assert_eq!((get_name(&field), field[7]), (OsStr::new("seven77"), 0));
        assert_eq!(put_name(&mut field, OsStr::new("eight888")), Err(Errno::ENAMETOOLONG));
        for wrong in ["", "a/b", "a\0b"] {
            assert_eq!(put_name(&mut field, OsStr::new(wrong)), Err(Errno::EINVAL), "{wrong:?}");
        }
    }

    #[test]
    fn on_another_filesystem_every_call_is_refused() {
        use std::os::fd::AsFd;
        let proc = std::fs::File::open("/proc").expect("open /proc");
        let name = OsStr::new("none");
        assert_eq!(info(proc.as_fd()).err(), Some(Errno::ENOTTY));
        assert_eq!(nested(proc.as_fd()).err(), Some(Errno::ENOTTY));
        assert_eq!(create_subvolume(proc.as_fd(), name), Err(Errno::ENOTTY));
        assert_eq!(destroy_by_name(proc.as_fd(), name), Err(Errno::ENOTTY));
        assert_eq!(destroy_by_id(proc.as_fd(), 300), Err(Errno::ENOTTY));
        assert_eq!(limit_referenced(proc.as_fd(), 1), Err(Errno::ENOTTY));
        assert_eq!(send_changes(proc.as_fd(), 300, proc.as_fd()), Err(Errno::ENOTTY));
    }
}
