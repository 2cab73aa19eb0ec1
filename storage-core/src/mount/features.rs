//! Which of the newer mount calls the kernel has and permits.
//!
//! | feature | since | without it |
//! |---|---|---|
//! | detached mounts (`fsopen`, `fsmount`, `open_tree`, `mount_setattr`) | 5.2, 5.12 | a mount in a thread's own namespace |
//! | `lowerdir+` of overlay | 6.7 | one string of lower directories, at most a page long |

use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::mount::{FsOpenFlags, OpenTreeFlags};

/// What may be used. A value that callers pass, so that a test can run every fallback on a kernel that needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Mounts without a path can be made.
    pub detached: bool,
    /// Overlay takes its lower directories one by one.
    pub lowerdir_add: bool,
}

impl Features {
    /// Nothing but what every kernel has had for long.
    pub const NONE: Features = Features { detached: false, lowerdir_add: false };

    /// What this kernel has and permits this process. Looked up once.
    pub fn of_kernel() -> Self {
        static KNOWN: OnceLock<Features> = OnceLock::new();
        *KNOWN.get_or_init(probe)
    }

    /// Whether detached overlay mounts with any number of lower directories can be made.
    pub(crate) fn detached_overlay(self) -> bool {
        self.detached && self.lowerdir_add
    }
}

fn probe() -> Features {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let detached = rustix::mount::open_tree(rustix::fs::CWD, "/", clone).is_ok_and(|tree| {
        let none = rustix::mount::MountAttrFlags::empty();
        crate::sys::mount_setattr::mount_setattr(tree.as_fd(), none, none).is_ok()
    });
    Features { detached, lowerdir_add: has_lowerdir_add() }
}

/// Older kernels collect whatever key they are given and look at it at the end, so a key that can't exist has to be
/// refused for an answer to mean anything.
fn has_lowerdir_add() -> bool {
    let Ok(fs) = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) else { return false };
    rustix::mount::fsconfig_set_string(fs.as_fd(), "lowerdir+", "/").is_ok()
        && rustix::mount::fsconfig_set_string(fs.as_fd(), "no-such-option", "x").is_err()
}
