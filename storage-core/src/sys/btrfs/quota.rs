//! Limits on what a subvolume may take.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::MAGIC;

/// The kernel's `struct btrfs_ioctl_quota_ctl_args`.
#[repr(C)]
pub(super) struct ControlArgs {
    command: u64,
    status: u64,
}

/// `BTRFS_QUOTA_CTL_ENABLE`.
const ENABLE: u64 = 1;
/// `BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA`.
const ENABLE_SIMPLE: u64 = 4;

/// The kernel's `struct btrfs_ioctl_qgroup_limit_args`.
#[repr(C)]
pub(super) struct LimitArgs {
    group: u64,
    flags: u64,
    most_referenced: u64,
    most_exclusive: u64,
    reserved_referenced: u64,
    reserved_exclusive: u64,
}

/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const REFERENCED: u64 = 1;

nix::ioctl_readwrite!(quota_ctl, MAGIC, 40, ControlArgs);
nix::ioctl_read!(qgroup_limit, MAGIC, 43, LimitArgs);

/// How the kernel counts what a subvolume takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounting {
    /// Blocks belong to the subvolume that wrote them (since Linux 6.7). Costs nearly nothing.
    Simple,
    /// Blocks belong to all subvolumes that show them.
    Groups,
}

/// Begins to count on the filesystem that `any` is on. One that counts already goes on as it does.
pub fn enable_quota(any: BorrowedFd<'_>, accounting: Accounting) -> nix::Result<()> {
    let command = if accounting == Accounting::Simple { ENABLE_SIMPLE } else { ENABLE };
    let mut args = ControlArgs { command, status: 0 };
    // SAFETY: the call reads and writes one struct, for which `args` has the layout and the place, and keeps no pointer.
    unsafe { quota_ctl(any.as_raw_fd(), &raw mut args) }.map(drop)
}

/// Limits what the subvolume that `dir` is in may show to `bytes`. Where nothing is counted it fails with `ENOTCONN`.
pub fn limit_referenced(dir: BorrowedFd<'_>, bytes: u64) -> nix::Result<()> {
    let mut args = LimitArgs {
        group: 0,
        flags: REFERENCED,
        most_referenced: bytes,
        most_exclusive: 0,
        reserved_referenced: 0,
        reserved_exclusive: 0,
    };
    // SAFETY: as above.
    match unsafe { qgroup_limit(dir.as_raw_fd(), &raw mut args) } {
        // What kernels before 5.9 say.
        Err(Errno::EINVAL) => Err(Errno::ENOTCONN),
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_kernels_sizes() {
        assert_eq!((size_of::<ControlArgs>(), size_of::<LimitArgs>()), (16, 48));
    }
}
