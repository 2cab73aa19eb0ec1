//! Entering the namespaces that podman's pause process keeps.

use std::path::PathBuf;

use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use storage_core::error::OsContext;
use storage_core::{Error, Result};

use super::find::Pause;

/// Whether the namespaces were entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// This process is in them.
    Yes,
    /// The kernel refused; this process is where it was.
    No,
}

/// Puts this process into the user and mount namespace of `pause`, as root of it, in the current directory. An error
/// means that it is there only in part, or not in its directory.
pub(super) fn join(pause: &Pause, tell: &impl Fn(&str)) -> Result<Joined> {
    let directory = current_directory()?;
    // Both at once: the kernel enters all of them or none.
    if let Err(errno) = nix::sched::setns(&pause.handle, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        tell(&format!("podman's pause process {} can't be joined: {}", pause.pid, errno.desc()));
        return Ok(Joined::No);
    }
    // Mostly so already. Not when the user changed the group since.
    let root = (Gid::from_raw(0), Uid::from_raw(0));
    nix::unistd::setresgid(root.0, root.0, root.0).os("setresgid(0)", "podman's user namespace")?;
    nix::unistd::setresuid(root.1, root.1, root.1).os("setresuid(0)", "podman's user namespace")?;
    // In the other mount namespace this process stands at the root.
    nix::unistd::chdir(&directory).map_err(|errno| {
        Error::os("chdir", &directory, errno)
            .detail(format!("the mount namespace of podman's pause process {} doesn't have it", pause.pid))
            .remedy("run this from a directory that was there when podman first ran, such as your home")
    })?;
    Ok(Joined::Yes)
}

fn current_directory() -> Result<PathBuf> {
    std::env::current_dir()
        .map_err(|source| Error::os("getcwd", ".", source).remedy("run this from a directory that exists"))
}
