//! Whether a process is one whose namespaces may be joined.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::Uid;
use storage_core::sys::namespaces::owner_of_user_namespace;

use super::find::error_number;

/// What identifies a namespace or a directory.
type Identity = (u64, u64);

/// What is known of a process that may be the pause process, and of this one.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    own_uid: u32,
    /// Of the process, as seen from here; none when the kernel doesn't say.
    its_uid: Option<u32>,
    own_user: Identity,
    its_user: Identity,
    /// Who made its user namespace.
    owner: u32,
    own_mounts: Identity,
    its_mounts: Identity,
    own_root: Identity,
    its_root: Identity,
}

impl Facts {
    /// Looks at the process whose directory below `/proc` is open.
    pub(super) fn of(process: &File, uid: Uid) -> nix::Result<Self> {
        let open = |name: &str| openat(process, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let root = fstatat(process, "root", AtFlags::empty())?;
        let (user, mounts) = (open("ns/user")?, open("ns/mnt")?);
        let mut status = String::new();
        File::from(open("status")?).read_to_string(&mut status).map_err(|error| error_number(&error))?;
        let own = |path: &str| nix::sys::stat::stat(path).map(|found| identity(&found));
        Ok(Facts {
            own_uid: uid.as_raw(),
            its_uid: real_uid(&status),
            own_user: own("/proc/self/ns/user")?,
            its_user: identity(&fstat(&user)?),
            owner: owner_of_user_namespace(user.as_fd())?,
            own_mounts: own("/proc/self/ns/mnt")?,
            its_mounts: identity(&fstat(&mounts)?),
            own_root: own("/")?,
            its_root: identity(&root),
        })
    }

    /// Whether what is known lets the process be joined; the rest of the sentence "process 7 …" when not.
    pub(super) fn judge(&self) -> Result<(), String> {
        if self.its_uid != Some(self.own_uid) {
            let other = self.its_uid.map_or_else(|| "somebody".to_owned(), |uid| format!("user {uid}"));
            return Err(format!("is {other}'s, not user {}'s", self.own_uid));
        }
        if self.its_user == self.own_user {
            return Err("has no user namespace of its own: it is no pause process".to_owned());
        }
        if self.owner != self.own_uid {
            return Err(format!("is in a user namespace of user {}", self.owner));
        }
        if self.its_mounts == self.own_mounts {
            return Err("has no mount namespace of its own: it is no pause process".to_owned());
        }
        // The process of a container, say, whose number the pause process had once.
        if self.its_root != self.own_root {
            return Err("has another root directory: it is no pause process".to_owned());
        }
        Ok(())
    }
}

/// The real id in the text of a file `/proc/PID/status`.
fn real_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

fn identity(found: &FileStat) -> Identity {
    (found.st_dev, found.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut Facts);

    fn pause_process() -> Facts {
        Facts {
            own_uid: 7,
            its_uid: Some(7),
            own_user: (4, 1),
            its_user: (4, 2),
            owner: 7,
            own_mounts: (4, 3),
            its_mounts: (4, 4),
            own_root: (8, 2),
            its_root: (8, 2),
        }
    }

    #[test]
    fn only_a_pause_process_of_the_user_is_joined() {
        assert_eq!(pause_process().judge(), Ok(()));
        let spoilt: [(&str, Spoil); 6] = [
            ("is user 0's", |facts| facts.its_uid = Some(0)),
            ("is somebody's", |facts| facts.its_uid = None),
            ("no user namespace", |facts| facts.its_user = facts.own_user),
            ("namespace of user 8", |facts| facts.owner = 8),
            ("no mount namespace", |facts| facts.its_mounts = facts.own_mounts),
            ("another root", |facts| facts.its_root = (9, 2)),
        ];
        for (words, spoil) in spoilt {
            let mut facts = pause_process();
            spoil(&mut facts);
            let reason = facts.judge().expect_err(words);
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn the_real_id_is_the_first() {
        assert_eq!(real_uid("Name:\tUid: 3\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\n"), Some(1000));
        for text in ["", "Uid:\n", "Uid:\tx\n", "Name:\tx\n"] {
            assert_eq!(real_uid(text), None, "{text:?}");
        }
    }
}
