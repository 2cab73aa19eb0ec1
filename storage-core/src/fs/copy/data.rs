//! The data of one file: shared, copied in the kernel, or byte by byte. Holes stay holes.

use std::os::fd::BorrowedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::Error;
use crate::task::Task;

/// How much is copied between two looks at the task.
const PIECE: u64 = 8 << 20;

/// Why a file's data could not be copied.
#[derive(Debug)]
pub(super) enum Failure {
    Os(&'static str, Errno),
    Stopped(Error),
}

/// Which ways of copying have not been refused yet. A test takes them away.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataCopier {
    pub(super) reflink: bool,
    pub(super) in_kernel: bool,
}

impl Default for DataCopier {
    fn default() -> Self {
        DataCopier { reflink: true, in_kernel: true }
    }
}

impl DataCopier {
    /// Copies all of `from` into `to`, which is empty.
    pub(super) fn copy(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, task: &Task) -> Result<(), Failure> {
        let size = rustix::fs::fstat(from).map_err(|errno| Failure::Os("fstat", errno))?.st_size as u64;
        if size == 0 {
            return Ok(());
        }
        if self.reflink {
            match rustix::fs::ioctl_ficlone(to, from) {
                Ok(()) => return task.step(size, 0).map_err(Failure::Stopped),
                // A single file may be refused (a swap file): only what says that the filesystem can't counts for all.
                Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => self.reflink = false,
                Err(_) => {}
            }
        }
        let mut at = 0;
        while let Some((start, end)) = next_extent(from, at, size)? {
            self.copy_range(from, to, start, end, task)?;
            at = end;
        }
        rustix::fs::ftruncate(to, size).map_err(|errno| Failure::Os("ftruncate", errno))
    }

    fn copy_range(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        start: u64,
        end: u64,
        task: &Task,
    ) -> Result<(), Failure> {
        let mut at = start;
        let mut buffer = Vec::new();
        while at < end {
            let want = (end - at).min(PIECE);
            let done = if self.in_kernel {
                let (mut source, mut target) = (at, at);
                match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), want as usize) {
                    Ok(done) => done as u64,
                    Err(Errno::INTR) => continue,
                    Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                        self.in_kernel = false;
                        continue;
                    }
                    Err(errno) => return Err(Failure::Os("copy_file_range", errno)),
                }
            } else {
                copy_bytes(from, to, at, want, &mut buffer)?
            };
            if done == 0 {
                break;
            }
            at += done;
            task.step(done, 0).map_err(Failure::Stopped)?;
        }
        Ok(())
    }
}

fn copy_bytes(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    at: u64,
    want: u64,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    buffer.resize(want.min(1 << 20) as usize, 0);
    let read = retry(|| rustix::io::pread(from, &mut buffer[..], at)).map_err(|errno| Failure::Os("pread", errno))?;
    let mut written = 0;
    while written < read {
        let piece = &buffer[written..read];
        written += retry(|| rustix::io::pwrite(to, piece, at + written as u64))
            .map_err(|errno| Failure::Os("pwrite", errno))?;
    }
    Ok(read as u64)
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The next piece of data at or after `at`. A filesystem that knows no holes has one piece.
fn next_extent(file: BorrowedFd<'_>, at: u64, size: u64) -> Result<Option<(u64, u64)>, Failure> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, size))),
        Err(errno) => return Err(Failure::Os("lseek(SEEK_DATA)", errno)),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).map_err(|errno| Failure::Os("lseek(SEEK_HOLE)", errno))?;
    Ok(Some((start, end.min(size))))
}
