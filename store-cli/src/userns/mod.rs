//! The namespaces that a command runs in. They are entered before any thread starts, by running this program again.
//!
//! An ordinary user becomes root of a user namespace, with a mount namespace below it. Where podman's pause process keeps
//! such namespaces alive for the user, a command joins them ([`find`], [`join`]): mounts stay there from one command to the
//! next, and podman sees them. Else the command makes its own ([`fresh`]), which end with it: the user's own id becomes 0;
//! the ranges of `/etc/subuid` and `/etc/subgid` follow from 1 on, when there are any and the helpers `newuidmap` and
//! `newgidmap` set them. The variables that tell of it are the reference's, so that programs of both know each other's
//! namespaces.

mod find;
mod fresh;
mod join;
mod judge;

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

use crate::globals::Globals;
use crate::output::complain;
use join::Joined;

/// Set once the namespace is entered: the process that it ends with, or [`FOR_LONG`].
const ENTERED: &str = "_CONTAINERS_USERNS_CONFIGURED";
/// The value in a namespace that outlives the command, as the reference writes it.
const FOR_LONG: &str = "done";
/// The user's own id, outside.
const OUTER_UID: &str = "_CONTAINERS_ROOTLESS_UID";
/// The user's own group, outside.
const OUTER_GID: &str = "_CONTAINERS_ROOTLESS_GID";

/// The id of the ordinary user that this runs for; none for root.
pub(crate) fn ordinary_user() -> Option<u32> {
    let outer = std::env::var(OUTER_UID).ok().and_then(|uid| uid.parse().ok());
    let own = Uid::effective();
    outer.or_else(|| (!own.is_root()).then(|| own.as_raw())).filter(|&uid| uid != 0)
}

/// Whether a namespace was entered for this command alone, so that its mounts end with it.
pub(crate) fn is_entered_for_this_command() -> bool {
    std::env::var(ENTERED).is_ok_and(|parent| parent == std::process::id().to_string())
}

/// Makes this process root of a user namespace: podman's where its pause process is there, else a new one. Returns at once
/// for root, and when that is done already; else it doesn't return but with an error. Call it before any thread starts.
pub(crate) fn enter(globals: &Globals) -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let tell = |text: &str| {
        if globals.debug {
            complain(format_args!("debug: {text}"));
        }
    };
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let joined = match find::pause_process(uid, &tell) {
        Some(pause) => join::join(&pause, &tell)?,
        None => Joined::No,
    };
    let entered = match joined {
        Joined::Yes => FOR_LONG.to_owned(),
        Joined::No => {
            fresh::make(uid, gid, &tell)?;
            std::process::id().to_string()
        }
    };
    let failed = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(ENTERED, entered)
        .env(OUTER_UID, uid.to_string())
        .env(OUTER_GID, gid.to_string())
        .exec();
    Err(Error::os("execve", "/proc/self/exe", failed))
}

/// Gives this process a mount namespace of its own, from which nothing reaches others. Call it before any thread starts.
pub(crate) fn private_mounts() -> Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).os("unshare(CLONE_NEWNS)", "of this process")?;
    nix::mount::mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .os("mount(MS_REC|MS_PRIVATE)", "/")
}

/// Runs `command` in place of this process.
pub(crate) fn replace_by(command: &[String]) -> Error {
    let (program, args) = match command {
        [] => (std::env::var("SHELL").ok().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh".into()), &[][..]),
        [program, args @ ..] => (program.clone(), args),
    };
    // Mounts made by what runs there live as long as it does, not as long as one command.
    let failed = Command::new(&program).args(args).env(ENTERED, FOR_LONG).exec();
    let error = Error::os("execve", &program, failed);
    if error.kind() == Kind::NotFound { error.remedy("name a program that exists, with its path") } else { error }
}
