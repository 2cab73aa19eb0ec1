//! Whether a lock of a store is free, asked as another process would ask.

use std::fs::{File, OpenOptions};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

fn whole_file(kind: i32) -> libc::flock {
    let short = |number: i32| i16::try_from(number).expect("a small constant");
    libc::flock { l_type: short(kind), l_whence: short(libc::SEEK_SET), l_start: 0, l_len: 0, l_pid: 0 }
}

/// Takes a lock file for writing if nobody holds it, by an open file description lock; `None` if somebody does.
pub fn try_write(path: &Path) -> Option<File> {
    take(path, libc::F_WRLCK)
}

/// Takes a lock file for reading if nobody holds it for writing, by an open file description lock; `None` if somebody does.
pub fn try_read(path: &Path) -> Option<File> {
    take(path, libc::F_RDLCK)
}

fn take(path: &Path, kind: i32) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(kind))) {
        Ok(_) => Some(file),
        Err(Errno::EAGAIN | Errno::EACCES) => None,
        Err(error) => panic!("lock {}: {error}", path.display()),
    }
}

/// Whether nobody holds a lock file, or there is none.
pub fn free(path: &Path) -> bool {
    !path.exists() || try_write(path).is_some()
}
