//! Making, marking and destroying subvolumes.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{MAGIC, put_name};

const NAME_ROOM: usize = 4088;
const NAME_ROOM_V2: usize = 4040;
/// `BTRFS_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1 << 1;
/// `BTRFS_SUBVOL_SPEC_BY_ID`.
const BY_ID: u64 = 1 << 4;

/// The kernel's `struct btrfs_ioctl_vol_args`.
#[repr(C)]
pub(super) struct Args {
    fd: i64,
    name: [u8; NAME_ROOM],
}

/// The kernel's `struct btrfs_ioctl_vol_args_v2`; the last field is a name or a number.
#[repr(C)]
pub(super) struct ArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; NAME_ROOM_V2],
}

impl ArgsV2 {
    fn new(fd: i64, flags: u64) -> Self {
        ArgsV2 { fd, transid: 0, flags, unused: [0; 4], name: [0; NAME_ROOM_V2] }
    }
}

nix::ioctl_write_ptr!(snap_destroy, MAGIC, 15, Args);
nix::ioctl_write_ptr!(snap_create_v2, MAGIC, 23, ArgsV2);
nix::ioctl_write_ptr!(subvol_create_v2, MAGIC, 24, ArgsV2);
nix::ioctl_read!(subvol_getflags, MAGIC, 25, u64);
nix::ioctl_write_ptr!(subvol_setflags, MAGIC, 26, u64);
nix::ioctl_write_ptr!(snap_destroy_v2, MAGIC, 63, ArgsV2);

/// Whether a subvolume can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As far as modes allow.
    Allowed,
    /// By nobody.
    Refused,
}

/// Makes an empty subvolume called `name` in the directory `dir`.
pub fn create_subvolume(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
    let mut args = ArgsV2::new(0, 0);
    put_name(&mut args.name, name)?;
    // SAFETY: `args` is a live value laid out as the kernel's struct, which the kernel only reads during the call; the
    // descriptor is borrowed, so it is open.
    unsafe { subvol_create_v2(dir.as_raw_fd(), &raw const args) }.map(drop)
}

/// Makes a snapshot of the subvolume whose root directory `source` is, called `name` in the directory `dir`. What was
/// written to the source is flushed first, and the call returns when the snapshot is on disk.
pub fn snapshot(source: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &OsStr, writing: Writing) -> nix::Result<()> {
    let flags = if writing == Writing::Refused { READ_ONLY } else { 0 };
    let mut args = ArgsV2::new(source.as_raw_fd().into(), flags);
    put_name(&mut args.name, name)?;
    // SAFETY: as above; the descriptor in `args` is borrowed too.
    unsafe { snap_create_v2(dir.as_raw_fd(), &raw const args) }.map(drop)
}

/// Destroys the subvolume called `name` in the directory `dir`. Its blocks are freed later, by the kernel. One that has
/// subvolumes of its own is refused with `ENOTEMPTY`.
pub fn destroy_by_name(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
    let mut args = Args { fd: 0, name: [0; NAME_ROOM] };
    put_name(&mut args.name, name)?;
    // SAFETY: as above.
    unsafe { snap_destroy(dir.as_raw_fd(), &raw const args) }.map(drop)
}

/// Destroys the subvolume of the number `id` on the filesystem that `any` is on (since Linux 5.7).
pub fn destroy_by_id(any: BorrowedFd<'_>, id: u64) -> nix::Result<()> {
    let mut args = ArgsV2::new(0, BY_ID);
    args.name[..8].copy_from_slice(&id.to_ne_bytes());
    // SAFETY: as above; the kernel's union of a name and a number begins where `name` does.
    unsafe { snap_destroy_v2(any.as_raw_fd(), &raw const args) }.map(drop)
}

fn flags(root: BorrowedFd<'_>) -> nix::Result<u64> {
    let mut flags = 0;
    // SAFETY: the call writes one number, for which `flags` has the type and the place, and keeps no pointer.
    unsafe { subvol_getflags(root.as_raw_fd(), &raw mut flags) }?;
    Ok(flags)
}

/// Whether the subvolume can't be written to.
pub fn is_read_only(root: BorrowedFd<'_>) -> nix::Result<bool> {
    flags(root).map(|flags| flags & READ_ONLY != 0)
}

/// Says whether the subvolume can be written to.
pub fn set_writing(root: BorrowedFd<'_>, writing: Writing) -> nix::Result<()> {
    let others = flags(root)? & !READ_ONLY;
    let flags = if writing == Writing::Refused { others | READ_ONLY } else { others };
    // SAFETY: the call reads one number during the call.
    unsafe { subvol_setflags(root.as_raw_fd(), &raw const flags) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structs_have_the_kernels_sizes() {
        assert_eq!((size_of::<Args>(), size_of::<ArgsV2>()), (4096, 4096));
        assert_eq!(std::mem::offset_of!(ArgsV2, name), 56);
    }
}
