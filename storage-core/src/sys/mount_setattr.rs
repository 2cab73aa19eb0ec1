//! `mount_setattr(2)`: attributes of a mount that has no path yet.
#![allow(unsafe_code, reason = "no crate wraps this call; this file is its one address")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::mount::MountAttrFlags;

/// The kernel's `struct mount_attr`, first version.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets `set` on the mount that `mount` is the root of, after clearing `clear`. Set an access-time mode only together
/// with clearing `MOUNT_ATTR__ATIME`.
pub fn mount_setattr(mount: BorrowedFd<'_>, set: MountAttrFlags, clear: MountAttrFlags) -> io::Result<()> {
    call(mount, &MountAttr { attr_set: set.bits().into(), attr_clr: clear.bits().into(), propagation: 0, userns_fd: 0 })
}

/// The same, and shows the owners of files as the maps of the user namespace `namespace` have them. A mount that has them
/// mapped already, or that is attached somewhere, is refused.
pub fn mount_setattr_idmap(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let set = set | MountAttrFlags::MOUNT_ATTR_IDMAP;
    let userns_fd = namespace.as_raw_fd().unsigned_abs().into();
    call(mount, &MountAttr { attr_set: set.bits().into(), attr_clr: clear.bits().into(), propagation: 0, userns_fd })
}

fn call(mount: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is a static C string, `attr` is a live value of the size that is passed, laid out as the kernel's
    // struct, and the kernel only reads it during the call. The descriptors are borrowed by the callers, so they are open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH as libc::c_uint,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
