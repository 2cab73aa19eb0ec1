//! A user namespace and a mount namespace made for this command.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use storage_core::error::OsContext;
use storage_core::idmap::{SubIds, Subject};
use storage_core::{Error, Kind, Result};

/// The call that makes both.
const CALL: &str = "unshare(CLONE_NEWUSER|CLONE_NEWNS)";

/// Puts this process into namespaces of its own, as their root. `tell` hears why only one id is mapped.
pub(super) fn make(uid: Uid, gid: Gid, tell: &impl Fn(&str)) -> Result<()> {
    let helper = Helper::start(uid, gid);
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(refused)?;
    if let Err(reason) = helper.and_then(Helper::map) {
        tell(&format!("{reason}; only the user's own id is mapped"));
        map_alone(uid, gid)?;
    }
    Ok(())
}

/// Why there is no namespace.
fn refused(errno: Errno) -> Error {
    let error = match errno {
        // The kernel's word for a limit reached. It has nothing to do with a disk.
        Errno::ENOSPC | Errno::EUSERS => Error::new(Kind::NotSupported, CALL)
            .at("of this process")
            .detail("no user namespaces are allowed, or all that are allowed are in use")
            .because(std::io::Error::from(errno)),
        errno => Error::os(CALL, "of this process", errno),
    };
    error.remedy("allow user namespaces to ordinary users (sysctl user.max_user_namespaces, AppArmor), or run as root")
}

/// Maps nothing but the user's own id, where nothing is mapped yet. Enough for layers whose files belong to one user.
fn map_alone(uid: Uid, gid: Gid) -> Result<()> {
    let is_mapped = |file: &str| std::fs::read(file).is_ok_and(|map| !map.is_empty());
    let write = |file: &'static str, text: String| {
        // The kernel takes the whole map in one write.
        std::fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut map| map.write_all(text.as_bytes()))
            .os("write id map", file)
    };
    if !is_mapped("/proc/self/uid_map") {
        write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    }
    if !is_mapped("/proc/self/gid_map") {
        write("/proc/self/setgroups", "deny".into())?;
        write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    Ok(())
}

/// A process that stays outside, where it may call `newuidmap` and `newgidmap` for this one.
struct Helper(Child);

/// Waits for the word, then sets both maps of the process `$1`.
const SCRIPT: &str = "read -r go && newuidmap \"$1\" $2 && newgidmap \"$1\" $3";

impl Helper {
    /// Starts the helper when the user has ranges of ids; else says why not.
    fn start(uid: Uid, gid: Gid) -> Result<Self, String> {
        let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
        let owner = Subject { name: name.as_deref(), id: Some(uid.as_raw()) };
        let map = |file: &str, own: u32| {
            let ids = SubIds::read(Path::new(file)).map_err(|error| error.to_string())?;
            id_map(own, &ids, owner).ok_or_else(|| format!("{file} has no range for {uid}"))
        };
        let uids = map("/etc/subuid", uid.as_raw())?;
        let gids = map("/etc/subgid", gid.as_raw())?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh", &std::process::id().to_string(), &uids, &gids])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(Helper)
            .map_err(|error| format!("/bin/sh can't be started: {error}"))
    }

    /// Has the maps set; the words of the one that is missing or refuses.
    fn map(mut self) -> Result<(), String> {
        let told = self.0.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"go\n").is_ok());
        let ended = self.0.wait_with_output().map_err(|error| format!("newuidmap: {error}"))?;
        if told && ended.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&ended.stderr).trim().replace('\n', "; ");
        Err(if words.is_empty() { format!("newuidmap, newgidmap: {}", ended.status) } else { words })
    }
}

/// The arguments of `newuidmap`: the own id as 0, the ranges of `owner` from 1 on, in the file's order. None without ranges.
fn id_map(own: u32, ids: &SubIds, owner: Subject<'_>) -> Option<String> {
    let mut words = vec![format!("0 {own} 1")];
    let mut next = 1_u32;
    for range in ids.ranges(owner) {
        words.push(format!("{next} {} {}", range.start, range.count));
        next = next.checked_add(range.count)?;
    }
    (words.len() > 1).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_id_is_root_and_the_ranges_follow_in_the_order_of_the_file() {
        let file = SubIds::parse("ann:100000:65536\n1000:300000:10\nann:500000:5\n");
        let ann = Subject { name: Some("ann"), id: Some(1000) };
        assert_eq!(id_map(1000, &file, ann).as_deref(), Some("0 1000 1 1 100000 65536 65537 300000 10 65547 500000 5"));
        assert_eq!(id_map(1000, &file, Subject::named("eve")), None);
    }

    #[test]
    fn a_limit_on_namespaces_is_no_full_disk() {
        for (errno, kind) in [
            (Errno::ENOSPC, Kind::NotSupported),
            (Errno::EUSERS, Kind::NotSupported),
            (Errno::EPERM, Kind::Permission),
            (Errno::EINVAL, Kind::Io),
        ] {
            let error = refused(errno);
            assert_eq!(error.kind(), kind, "{errno}");
            assert!(error.to_string().contains("max_user_namespaces"), "{error}");
        }
    }
}
