//! Open file description locks over a whole file: the one kind of lock that excludes the reference's.
//!
//! The reference takes classic POSIX record locks. Those and OFD locks exclude each other in both directions; `flock`
//! excludes neither. An OFD lock belongs to the open file description: it ends when the last descriptor of it is closed,
//! and not, like a POSIX lock, when any other descriptor of the file is.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Together with other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Shared => "shared",
            Mode::Exclusive => "exclusive",
        }
    }

    fn lock_type(self) -> i32 {
        match self {
            Mode::Shared => libc::F_RDLCK,
            Mode::Exclusive => libc::F_WRLCK,
        }
    }
}

/// Who stands in the way of a lock, as far as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The holder's process, known for POSIX locks of this pid namespace only.
    pub pid: Option<u32>,
    /// How it holds the lock.
    pub mode: Mode,
}

impl From<Mode> for crate::record::LockMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Shared => Self::Shared,
            Mode::Exclusive => Self::Exclusive,
        }
    }
}

fn whole_file(lock_type: i32) -> libc::flock {
    libc::flock {
        l_type: lock_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the lock if nobody is in the way; `false` if somebody is.
pub fn try_lock(file: &File, mode: Mode) -> nix::Result<bool> {
    let lock = whole_file(mode.lock_type());
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits for the lock, for ever if need be. A signal doesn't end the wait.
pub fn lock(file: &File, mode: Mode) -> nix::Result<()> {
    let lock = whole_file(mode.lock_type());
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&lock)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Who would keep a lock of `mode` from being taken through `file` now.
pub fn conflict(file: &File, mode: Mode) -> nix::Result<Option<Conflict>> {
    let mut lock = whole_file(mode.lock_type());
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    let mode = match i32::from(lock.l_type) {
        libc::F_UNLCK => return Ok(None),
        libc::F_RDLCK => Mode::Shared,
        _ => Mode::Exclusive,
    };
    Ok(Some(Conflict { pid: u32::try_from(lock.l_pid).ok().filter(|pid| *pid > 0), mode }))
}

/// The raw number of a descriptor, for paths below `/proc/self/fd`.
pub fn proc_path(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptions_of_one_file_exclude_each_other_and_close_releases() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || {
            File::options()
                .create(true)
                .read(true)
                .write(true)
                .truncate(false)
                .open(dir.path().join("l"))
                .expect("open")
        };
        let (first, second) = (open(), open());
        assert_eq!(try_lock(&first, Mode::Exclusive), Ok(true));
        assert_eq!(try_lock(&second, Mode::Shared), Ok(false), "a reader got in beside a writer");
        assert_eq!(conflict(&second, Mode::Shared), Ok(Some(Conflict { pid: None, mode: Mode::Exclusive })));
        drop(open());
        assert_eq!(try_lock(&second, Mode::Shared), Ok(false), "closing a third description released the lock");
        drop(first);
        // A program that another test starts just now shares the description until it runs: so this waits.
        assert_eq!(lock(&second, Mode::Shared), Ok(()), "closing it does not release the lock");
    }
}
