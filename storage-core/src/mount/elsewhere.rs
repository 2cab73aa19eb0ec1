//! Who sees a mount that can't be seen from here.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::mountinfo::parse_mountinfo;
use crate::error::{Error, Kind, Result};

/// What the mount tables of all processes say of one path.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A process of every mount namespace in which something is mounted at the path.
    pub holders: Vec<u32>,
    /// Processes whose mount table could not be read.
    pub unreadable: usize,
}

/// Looks for a mount at `path` in the mount namespaces of all processes. Costs one read of `/proc/PID/mountinfo` a namespace.
pub fn look(path: &Path) -> Seen {
    // The kernel's tables know no links on the way to a mount point.
    let paths = [Some(path.to_path_buf()), std::fs::canonicalize(path).ok()];
    let mut seen = Seen::default();
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
                if lists(&table, &paths) {
                    seen.holders.push(pid);
                }
                namespaces.extend(namespace);
            }
            // A process that ended meanwhile, or a kernel thread, has no mounts.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EINVAL)) => {}
            Err(_) => seen.unreadable += 1,
        }
    }
    seen
}

/// Fails with [`Kind::Busy`] unless it is certain that nothing is mounted at `path` anywhere.
pub fn check_gone(path: &Path) -> Result<()> {
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
        Seen { unreadable, .. } => {
            busy(format!("counted as mounted, not to be seen here, and {unreadable} processes can't be asked"))
        }
    }
}

/// Whether a mount table has a mount at one of `paths`.
fn lists(table: &[u8], paths: &[Option<PathBuf>]) -> bool {
    parse_mountinfo(table).iter().any(|mount| paths.iter().flatten().any(|path| mount.mount_point == *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_table_is_searched_for_the_mount_point_only() {
        let table = b"36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 - ext3 /dev/root rw\n";
        let at = |path: &str| [Some(PathBuf::from(path)), None];
        assert!(lists(table, &at("/a b")));
        assert!(!lists(table, &at("/mnt1")), "the root of the mount was taken for its mount point");
    }

    #[test]
    fn the_root_is_mounted_and_seen_and_a_fresh_directory_is_not() {
        assert!(!look(Path::new("/")).holders.is_empty());
        let dir = tempfile::tempdir().expect("dir");
        assert!(look(dir.path()).holders.is_empty());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("a link to the root");
        assert!(!look(&link).holders.is_empty(), "a mount that is reached through a link was overlooked");
    }
}
