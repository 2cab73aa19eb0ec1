//! Extended attributes of a name in an open directory, without following a link.
//!
//! One system call each: the path handed to the kernel is `/proc/self/fd/N/NAME`, where only the descriptor is resolved
//! through procfs and the final name never is. `setxattrat` and its kin (Linux 6.13) would do without procfs.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// The most that the kernel returns as a list of names or as one value.
const LARGEST: usize = 64 * 1024;

/// The result of a call; the caller adds the path to an error.
type Result<T> = rustix::io::Result<T>;

fn place(dir: BorrowedFd<'_>, name: &OsStr) -> Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    CString::new(path).map_err(|_| Errno::INVAL)
}

/// Calls `call` with a buffer on the stack, and with the largest one when that was too small.
fn sized(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let length = call(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        length => Ok(small[..length?].to_vec()),
    }
}

/// The names of the attributes of `name` in `dir`; none where the filesystem has no attributes.
pub fn list(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<CString>> {
    let path = place(dir, name)?;
    match sized(|buffer| rustix::fs::llistxattr(&path, buffer)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Vec::new()),
        names => Ok(split(&names?)),
    }
}

/// The value of one attribute of `name` in `dir`, if it has it.
pub fn get(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr) -> Result<Option<Vec<u8>>> {
    let path = place(dir, name)?;
    match sized(|buffer| rustix::fs::lgetxattr(&path, key, buffer)) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        value => value.map(Some),
    }
}

/// Whether files in the filesystem of `dir` can have the attribute at all.
pub fn is_supported(dir: BorrowedFd<'_>, key: &CStr) -> Result<bool> {
    match rustix::fs::lgetxattr(&place(dir, OsStr::new("."))?, key, &mut [0_u8; 0][..]) {
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(Errno::NODATA | Errno::RANGE) | Ok(_) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Sets one attribute of `name` in `dir`, replacing an earlier value.
pub fn set(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr, value: &[u8]) -> Result<()> {
    rustix::fs::lsetxattr(&place(dir, name)?, key, value, XattrFlags::empty())
}

/// Removes one attribute of `name` in `dir`; one that isn't there is no error.
pub fn remove(dir: BorrowedFd<'_>, name: &OsStr, key: &CStr) -> Result<()> {
    match rustix::fs::lremovexattr(&place(dir, name)?, key) {
        Err(Errno::NODATA) => Ok(()),
        done => done,
    }
}

/// Sets one attribute of an open file or directory.
pub fn set_fd(file: BorrowedFd<'_>, key: &CStr, value: &[u8]) -> Result<()> {
    rustix::fs::fsetxattr(file, key, value, XattrFlags::empty())
}

fn split(names: &[u8]) -> Vec<CString> {
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).filter_map(|name| CString::new(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_filesystem_tells_which_attributes_it_has() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let fd = std::fs::File::open(dir.path()).expect("open");
        set_fd(fd.as_fd(), c"user.a", b"1").expect("set");
        assert_eq!(is_supported(fd.as_fd(), c"user.a"), Ok(true));
        assert_eq!(is_supported(fd.as_fd(), c"user.none"), Ok(true));
        let proc = std::fs::File::open("/proc").expect("open");
        assert_eq!(is_supported(proc.as_fd(), c"user.a"), Ok(false));
    }

    #[test]
    fn attributes_are_those_of_the_name_and_not_of_what_it_points_to() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("f"), "").expect("write");
        std::os::unix::fs::symlink("f", dir.path().join("l")).expect("symlink");
        let fd = std::fs::File::open(dir.path()).expect("open");
        let long = vec![7; 2000];
        set(fd.as_fd(), OsStr::new("f"), c"user.a", b"1").expect("set");
        set(fd.as_fd(), OsStr::new("f"), c"user.long", &long).expect("set");
        let names = list(fd.as_fd(), OsStr::new("f")).expect("list");
        assert!(names.iter().any(|name| name.as_c_str() == c"user.a"), "{names:?}");
        assert_eq!(get(fd.as_fd(), OsStr::new("f"), c"user.long").expect("get"), Some(long));
        assert_eq!(get(fd.as_fd(), OsStr::new("f"), c"user.none").expect("get"), None);
        assert_eq!(get(fd.as_fd(), OsStr::new("l"), c"user.a").expect("get"), None, "the link was followed");
        remove(fd.as_fd(), OsStr::new("f"), c"user.a").expect("remove");
        remove(fd.as_fd(), OsStr::new("f"), c"user.a").expect("a second removal changes nothing");
        assert_eq!(get(fd.as_fd(), OsStr::new("f"), c"user.a").expect("get"), None);
    }
}
