//! What the kernel tells about a namespace by its descriptor.
#![allow(unsafe_code, reason = "no crate wraps this call; this file is its one address")]

use std::os::fd::{AsRawFd, BorrowedFd};

nix::ioctl_read_bad!(
    /// The kernel's `NS_GET_OWNER_UID`, whose number says that nothing is transferred though an id is.
    ns_get_owner_uid,
    nix::request_code_none!(0xb7, 4),
    libc::uid_t
);

/// The id of the user who made the user namespace `user`, as this process sees ids.
pub fn owner_of_user_namespace(user: BorrowedFd<'_>) -> nix::Result<u32> {
    let mut owner = 0;
    // SAFETY: the call writes one id, for which `owner` has the type and the place, and keeps no pointer. A descriptor of
    // another kind is an error, not a write.
    unsafe { ns_get_owner_uid(user.as_raw_fd(), &raw mut owner) }?;
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn only_a_user_namespace_has_an_owner() {
        let mounts = File::open("/proc/self/ns/mnt").expect("open the mount namespace");
        assert!(owner_of_user_namespace(mounts.as_fd()).is_err(), "a mount namespace has no owner");
        let user = File::open("/proc/self/ns/user").expect("open the user namespace");
        // In a namespace of one's own the owner is seen as the id that it has there; outside it is root.
        owner_of_user_namespace(user.as_fd()).expect("ask for the owner");
    }
}
