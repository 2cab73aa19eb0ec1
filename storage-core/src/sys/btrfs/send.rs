//! The stream of what differs between two read-only snapshots.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::MAGIC;

/// The kernel's `struct btrfs_ioctl_send_args`.
#[repr(C)]
pub(super) struct SendArgs {
    fd: i64,
    clone_sources_count: u64,
    clone_sources: u64,
    parent_root: u64,
    flags: u64,
    version: u32,
    reserved: [u8; 28],
}

/// `BTRFS_SEND_FLAG_NO_FILE_DATA`.
const NO_FILE_DATA: u64 = 1;

nix::ioctl_write_ptr!(send, MAGIC, 38, SendArgs);

/// Writes to `out` what differs in the read-only subvolume whose root directory `new` is from the one of the number `old`,
/// without the content of files. Returns when all is written; a reader that closes its end ends it with `EPIPE`, and with
/// a signal `SIGPIPE` to the calling thread. Needs `CAP_SYS_ADMIN` in the first user namespace.
pub fn send_changes(new: BorrowedFd<'_>, old: u64, out: BorrowedFd<'_>) -> nix::Result<()> {
    let args = SendArgs {
        fd: out.as_raw_fd().into(),
        clone_sources_count: 0,
        clone_sources: 0,
        parent_root: old,
        flags: NO_FILE_DATA,
        version: 0,
        reserved: [0; 28],
    };
    // SAFETY: the call reads one struct laid out as the kernel's; there are no clone sources, so it follows no pointer in it.
    // Both descriptors are borrowed, so they are open.
    unsafe { send(new.as_raw_fd(), &raw const args) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_struct_has_the_kernels_size() {
        assert_eq!(size_of::<SendArgs>(), 72);
    }
}
