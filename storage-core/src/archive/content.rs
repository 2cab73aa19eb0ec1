//! Whether a file has the same bytes in two trees, for where attributes don't tell.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::archive::{names, walk};
use crate::error::{OsContext, Result};
use crate::task::Task;

const BUFFER: usize = 64 * 1024;

/// Whether the file `path` has the same bytes in both trees. Links are not followed; a file that is missing in either tree, or
/// no regular one, has no content to differ.
pub fn same_content(new: BorrowedFd<'_>, old: Option<BorrowedFd<'_>>, path: &Path, task: &Task) -> Result<bool> {
    let clean = names::clean(path.as_os_str().as_bytes())?;
    let (dir, name) = names::split(&clean);
    let open_one = |root: BorrowedFd<'_>| walk::open_file(walk::open_path(root, dir)?.as_fd(), names::os(name));
    let open = |root: BorrowedFd<'_>| match open_one(root).map(File::from) {
        Ok(file) if file.metadata().os("fstat", path)?.is_file() => Ok(Some(BufReader::with_capacity(BUFFER, file))),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno).os("openat", path),
    };
    let (Some(mut new), Some(mut old)) = (open(new)?, old.map(open).transpose()?.flatten()) else { return Ok(true) };
    loop {
        let (one, other) = (new.fill_buf().os("read", path)?, old.fill_buf().os("read", path)?);
        let length = one.len().min(other.len());
        if one[..length] != other[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(one.is_empty() && other.is_empty());
        }
        new.consume(length);
        old.consume(length);
        task.step(length as u64, 0)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_only_to_the_last_byte() {
        let (one, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let long = vec![7_u8; 3 * BUFFER + 5];
        let same = |left: &[u8], right: &[u8]| {
            std::fs::write(one.path().join("f"), left).expect("write");
            std::fs::write(other.path().join("f"), right).expect("write");
            let (one, other) = (File::open(one.path()).expect("open"), File::open(other.path()).expect("open"));
            same_content(one.as_fd(), Some(other.as_fd()), Path::new("/f"), &Task::new("t")).expect("read")
        };
        assert!(same(&long, &long) && same(b"", b""));
        assert!(!same(&long, &long[1..]), "a shorter file");
        let mut edited = long.clone();
        *edited.last_mut().expect("not empty") = 8;
        assert!(!same(&long, &edited), "an edit of the last byte");
    }
}
