//! The namespaces that a command runs in. They are entered before any thread starts, by running this program again.
//!
//! An ordinary user becomes root of a user namespace of their own, with a mount namespace below it. The user's own id
//! becomes 0; the ranges of `/etc/subuid` and `/etc/subgid` follow from 1 on, when there are any and the helpers
//! `newuidmap` and `newgidmap` set them. The variables that tell of it are the reference's, so that programs of both
//! know each other's namespaces.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use storage_core::error::OsContext;
use storage_core::{Error, Kind, Result};

/// Set once the namespace is entered.
const ENTERED: &str = "_CONTAINERS_USERNS_CONFIGURED";
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

/// Makes this process root of a user namespace. Returns at once for root, and when that is done already; else it
/// doesn't return but with an error. Call it before any thread starts.
pub(crate) fn enter() -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let mut helper = Helper::start(uid, gid);
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|errno| {
        Error::os("unshare(CLONE_NEWUSER|CLONE_NEWNS)", "of this process", errno).remedy(
            "allow user namespaces to ordinary users (sysctl user.max_user_namespaces, AppArmor), or run as root",
        )
    })?;
    let mapped = helper.as_mut().is_some_and(Helper::map);
    if !mapped {
        map_alone(uid, gid)?;
    }
    let failed = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(ENTERED, std::process::id().to_string())
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

/// Maps nothing but the user's own id. Enough for layers whose files belong to one user.
fn map_alone(uid: Uid, gid: Gid) -> Result<()> {
    let write = |file: &'static str, text: String| {
        // The kernel takes the whole map in one write.
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut map| map.write_all(text.as_bytes()))
            .os("write id map", file)
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// A process that stays outside, where it may call `newuidmap` and `newgidmap` for this one.
struct Helper(std::process::Child);

/// Waits for the word, then sets both maps of the process `$1`.
const SCRIPT: &str = "read -r go && newuidmap \"$1\" $2 && newgidmap \"$1\" $3";

impl Helper {
    /// Starts the helper when the user has ranges of ids.
    fn start(uid: Uid, gid: Gid) -> Option<Self> {
        let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        let ranges = |file: &str| ranges(&std::fs::read_to_string(file).unwrap_or_default(), name.as_deref(), uid);
        let uids = id_map(uid.as_raw(), &ranges("/etc/subuid"))?;
        let gids = id_map(gid.as_raw(), &ranges("/etc/subgid"))?;
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh", &std::process::id().to_string(), &uids, &gids])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.ok().map(Helper)
    }

    /// Has the maps set; false when the helpers are missing or refuse.
    fn map(&mut self) -> bool {
        let told = self.0.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"go\n").is_ok());
        let ended = self.0.wait();
        told && ended.is_ok_and(|status| status.success())
    }
}

/// The ranges `start:count` that a file like `/etc/subuid` gives to a user.
fn ranges(text: &str, name: Option<&str>, uid: Uid) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(owner), Some(start), Some(count)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (Ok(start), Ok(count)) = (start.parse(), count.trim().parse()) else { continue };
        if (owner == uid || Some(owner) == name) && count > 0 {
            found.push((start, count));
        }
    }
    found
}

/// The arguments of `newuidmap`: the own id as 0, the ranges from 1 on. None without ranges.
fn id_map(own: u32, ranges: &[(u32, u32)]) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    let mut words = vec![format!("0 {own} 1")];
    let mut next = 1_u32;
    for &(start, count) in ranges {
        words.push(format!("{next} {start} {count}"));
        next = next.checked_add(count)?;
    }
    Some(words.join(" "))
}

/// Runs `command` in place of this process.
pub(crate) fn replace_by(command: &[String]) -> Error {
    let (program, args) = match command {
        [] => (std::env::var("SHELL").ok().filter(|shell| !shell.is_empty()).unwrap_or("/bin/sh".into()), &[][..]),
        [program, args @ ..] => (program.clone(), args),
    };
    // Mounts made by what runs there live as long as it does, not as long as one command.
    let failed = Command::new(&program).args(args).env(ENTERED, "done").exec();
    let error = Error::os("execve", &program, failed);
    if error.kind() == Kind::NotFound { error.remedy("name a program that exists, with its path") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "ann:100000:65536\n# note\nbob:1:x\n1000:300000:10\nann:500000:5\n";
        let found = ranges(text, Some("ann"), Uid::from_raw(1000));
        assert_eq!(found, [(100_000, 65_536), (300_000, 10), (500_000, 5)]);
        assert_eq!(id_map(1000, &found).as_deref(), Some("0 1000 1 1 100000 65536 65537 300000 10 65547 500000 5"));
        assert_eq!(id_map(1000, &[]), None);
    }
}
