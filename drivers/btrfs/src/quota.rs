//! Limits on what a layer may show, kept in a file beside it as the reference keeps them.

use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::sys::btrfs::{Accounting, enable_quota, limit_referenced};

/// The limit that `file` gives; `None` where there is no such file, or no number in it that could be a limit.
pub(crate) fn read(file: &Path) -> Result<Option<u64>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().parse().ok().filter(|bytes| *bytes > 0)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).os("read", file),
    }
}

/// Limits the subvolume `root`. The first limit on a filesystem makes the kernel count: simply, where it can.
pub(crate) fn apply(root: BorrowedFd<'_>, bytes: u64, path: &Path) -> Result<()> {
    let limited = match limit_referenced(root, bytes) {
        Err(Errno::ENOTCONN) => enable(root).and_then(|()| limit_referenced(root, bytes)),
        done => done,
    };
    limited.map_err(|errno| match errno {
        Errno::EPERM | Errno::EACCES => Error::new(Kind::Permission, "limit layer")
            .at(path)
            .detail("only the first user namespace's root can limit a subvolume")
            .remedy("leave out size and btrfs.size"),
        errno => Error::os("ioctl(BTRFS_IOC_QGROUP_LIMIT)", path, errno),
    })
}

fn enable(root: BorrowedFd<'_>) -> nix::Result<()> {
    match enable_quota(root, Accounting::Simple) {
        // A kernel before 6.7, or a filesystem whose other features exclude it.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTTY) => enable_quota(root, Accounting::Groups),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_decimal_number_and_anything_else_is_none() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("limit");
        assert_eq!(read(&file).expect("missing"), None);
        for (text, limit) in [("1048576", Some(1 << 20)), ("7\n", Some(7)), ("0", None), ("1G", None), ("", None)] {
            std::fs::write(&file, text).expect("write");
            assert_eq!(read(&file).expect("read"), limit, "{text:?}");
        }
    }
}
