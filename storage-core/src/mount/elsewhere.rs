//! Who sees a mount that can't be seen from here.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities};

use super::mountinfo::{MountInfo, parse_mountinfo};
use super::truth::{in_user_namespace, mounts_here};
use crate::error::{Error, Kind, Result};

/// The kernel's name for the namespace of all processes.
const FIRST_PROCESSES: &str = "pid:[4026531836]";

/// What the mount tables of all processes say of one path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A process of every mount namespace in which something is mounted at the path.
    pub holders: Vec<u32>,
    /// Processes whose mount table could not be read; one more where not all processes show.
    pub unreadable: usize,
}

/// Looks for a mount at `path` in the mount namespaces of all processes. Costs one read of `/proc/PID/mountinfo` a namespace.
pub fn look(path: &Path) -> Seen {
    let (mut seen, unreadable) = look_for_all(&[path.to_path_buf()]);
    Seen { holders: seen.pop().unwrap_or_default(), unreadable }
}

/// As [`look`], for many paths at once: for each, a process of every mount namespace in which something is mounted there;
/// and how many processes could not be asked, where those that don't show here count as one.
pub fn look_for_all(paths: &[PathBuf]) -> (Vec<Vec<u32>>, usize) {
    let mut wanted: HashMap<PathBuf, usize> = HashMap::new();
    for (number, path) in paths.iter().enumerate() {
        // The kernel's tables know no links on the way to a mount point.
        wanted.extend(std::fs::canonicalize(path).ok().map(|real| (real, number)));
        wanted.insert(path.clone(), number);
    }
    let mut holders = vec![Vec::new(); paths.len()];
    let mut unreadable = usize::from(!sees_all());
    let mut namespaces = HashSet::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process with another root sees a part of its namespace only.
        let sight = |what: &str| std::fs::read_link(process.path().join(what)).ok();
        let namespace = sight("ns/mnt").zip(sight("root"));
        if namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace)) {
            continue;
        }
        match std::fs::read(process.path().join("mountinfo")) {
            Ok(table) => {
                for number in listed(&table, &wanted) {
                    holders[number].push(pid);
                }
                namespaces.extend(namespace);
            }
            // A process that ended meanwhile, or a kernel thread, has no mounts.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EINVAL)) => {}
            Err(_) => unreadable += 1,
        }
    }
    (holders, unreadable)
}

/// Whether every process of this kernel shows in `/proc`: not in a namespace of processes, not without `/proc`, and not where
/// that hides those of others.
fn sees_all() -> bool {
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    namespace.is_ok_and(|own| own.as_os_str() == FIRST_PROCESSES)
        && std::fs::read_dir("/proc").is_ok()
        && mounts_here().is_ok_and(|mounts| !hides_others(&mounts) || may_trace_all())
}

/// Whether the `/proc` of this table was mounted with `hidepid`.
fn hides_others(mounts: &[MountInfo]) -> bool {
    let proc = mounts.iter().rfind(|mount| mount.mount_point == Path::new("/proc"));
    proc.is_none_or(|proc| proc.super_options.split(',').any(|option| option.starts_with("hidepid=")))
}

/// Whether nothing is hidden from this process.
fn may_trace_all() -> bool {
    let may = |sets: CapabilitySets| sets.effective.contains(CapabilitySet::SYS_PTRACE);
    !in_user_namespace() && capabilities(None).is_ok_and(may)
}

/// Whether one of these processes is in the mount namespace of this one.
pub fn is_here(pids: &[u32]) -> bool {
    namespace_here().is_some_and(|own| any_in(pids, &own))
}

/// The kernel's name for the mount namespace of this thread; none where it can't be read.
pub fn namespace_here() -> Option<String> {
    namespace_of("thread-self")
}

/// Whether something is mounted at `path` in the mount namespace of that name, which is not that of this thread, as far as its
/// processes show here.
pub fn is_seen_in(path: &Path, namespace: &str) -> bool {
    namespace_here().is_some_and(|own| own != namespace) && any_in(&look(path).holders, namespace)
}

fn any_in(pids: &[u32], namespace: &str) -> bool {
    pids.iter().any(|pid| namespace_of(&pid.to_string()).is_some_and(|name| name == namespace))
}

fn namespace_of(process: &str) -> Option<String> {
    std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok()?.into_os_string().into_string().ok()
}

/// Since when something is counted as mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Since this machine was started, as far as is known: so it may be mounted where nobody can look.
    InThisBoot,
    /// Since before this machine was started: no mount is as old.
    BeforeBoot,
}

/// Fails with [`Kind::Busy`] unless it is certain that nothing is mounted at `path` anywhere: every process could be asked, or
/// the machine was started since it was counted, and nobody sees a mount there.
pub fn check_gone(path: &Path, counted: Counted) -> Result<()> {
    let seen = look(path);
    let busy = |detail: String| {
        Err(Error::new(Kind::Busy, "mount")
            .at(path)
            .detail(detail)
            .remedy("work in that mount namespace, or use `unmount --force`"))
    };
    match seen {
        Seen { holders, .. } if !holders.is_empty() => {
            let pids: Vec<_> = holders.iter().map(ToString::to_string).collect();
            busy(format!("mounted in another mount namespace, seen by process {}", pids.join(", ")))
        }
        Seen { unreadable: 0, .. } => Ok(()),
        _ if counted == Counted::BeforeBoot => Ok(()),
        Seen { unreadable, .. } => {
            busy(format!("counted as mounted, not to be seen here, and {unreadable} processes can't be asked"))
        }
    }
}

/// The numbers of the wanted paths at which a mount table has a mount.
fn listed(table: &[u8], wanted: &HashMap<PathBuf, usize>) -> HashSet<usize> {
    parse_mountinfo(table).iter().filter_map(|mount| wanted.get(&mount.mount_point).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_table_is_searched_for_the_mount_point_only() {
        let table = b"36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 - ext3 /dev/root rw\n";
        let at = |path: &str| HashMap::from([(PathBuf::from(path), 0)]);
        assert_eq!(listed(table, &at("/a b")).len(), 1);
        assert!(listed(table, &at("/mnt1")).is_empty(), "the root of the mount was taken for its mount point");
    }

    #[test]
    fn a_proc_that_hides_processes_is_told_by_its_options() {
        let hides = |options: &str| {
            let table = format!("1 0 0:1 / / rw - ext4 disk rw\n2 1 0:2 / /proc rw - proc proc {options}\n");
            hides_others(&parse_mountinfo(table.as_bytes()))
        };
        assert!(hides("rw,gid=7,hidepid=invisible") && hides("rw,hidepid=2") && hides("rw,hidepid=ptraceable"));
        assert!(!hides("rw") && !hides("rw,gid=7"));
        assert!(hides_others(&[]), "where it isn't known what /proc is, not all is known");
    }

    #[test]
    fn the_root_is_mounted_and_seen_and_a_fresh_directory_is_not() {
        let seen = look(Path::new("/"));
        assert!(!seen.holders.is_empty() && is_here(&seen.holders) && !is_here(&[]));
        assert!(sees_all() || seen.unreadable > 0, "what doesn't show was believed to be nowhere");
        let here = namespace_here().expect("the name of a namespace");
        assert!(any_in(&seen.holders, &here) && !any_in(&seen.holders, "mnt:[1]"));
        assert!(!is_seen_in(Path::new("/"), &here), "this namespace is no other one");
        let dir = tempfile::tempdir().expect("dir");
        assert!(look(dir.path()).holders.is_empty());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("a link to the root");
        assert!(!look(&link).holders.is_empty(), "a mount that is reached through a link was overlooked");
    }
}
