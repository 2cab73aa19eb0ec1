//! Which of the newer mount calls the kernel has and permits.
//!
//! | feature | since | without it |
//! |---|---|---|
//! | detached mounts (`fsopen`, `fsmount`, `open_tree`, `mount_setattr`) | 5.2, 5.12 | a mount in a thread's own namespace |
//! | `lowerdir+` of overlay | 6.7 | one string of lower directories, at most a page long |

use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::mount::FsOpenFlags;

use crate::sys::mount_setattr::mount_setattr;

/// What may be used. A value that callers pass, so that a test can run every fallback on a kernel that needs none.
///
/// What this kernel has is looked up when it is first asked for, so that a process that mounts nothing doesn't pay for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(Option<Given>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    detached: bool,
    lowerdir_add: bool,
}

impl Features {
    /// Nothing but what every kernel has had for long.
    pub const NONE: Features = Features::given(false, false);

    /// Just these: mounts without a path; lower directories of overlay one by one.
    pub const fn given(detached: bool, lowerdir_add: bool) -> Self {
        Features(Some(Given { detached, lowerdir_add }))
    }

    /// What this kernel has and permits this process.
    pub const fn of_kernel() -> Self {
        Features(None)
    }

    /// Whether mounts without a path can be made.
    pub fn detached(self) -> bool {
        static KNOWN: OnceLock<bool> = OnceLock::new();
        self.0.map_or_else(|| *KNOWN.get_or_init(has_detached), |given| given.detached)
    }

    /// Whether overlay takes its lower directories one by one.
    pub fn lowerdir_add(self) -> bool {
        static KNOWN: OnceLock<bool> = OnceLock::new();
        self.0.map_or_else(|| *KNOWN.get_or_init(has_lowerdir_add), |given| given.lowerdir_add)
    }

    /// Whether detached overlay mounts with any number of lower directories can be made.
    pub fn detached_overlay(self) -> bool {
        self.detached() && self.lowerdir_add()
    }
}

/// The newest of the calls, asked to change nothing: it answers whether the kernel has it and whether this process may
/// mount. A mount is not tried, since taking it away again waits for the kernel's readers of the mount tables.
fn has_detached() -> bool {
    let none = rustix::mount::MountAttrFlags::empty();
    std::fs::File::open("/").and_then(|root| mount_setattr(root.as_fd(), none, none)).is_ok()
}

/// Older kernels collect whatever key they are given and look at it at the end, so a key that can't exist has to be
/// refused for an answer to mean anything.
fn has_lowerdir_add() -> bool {
    let Ok(fs) = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else { return false };
    rustix::mount::fsconfig_set_string(fs.as_fd(), "lowerdir+", "/").is_ok()
        && rustix::mount::fsconfig_set_string(fs.as_fd(), "no-such-option", "x").is_err()
}
