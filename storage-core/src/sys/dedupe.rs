//! `FIDEDUPERANGE`: the kernel compares two files and lets them share the blocks that are the same.
#![allow(unsafe_code, reason = "no crate wraps this call; this file is its one address")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOWR(0x94, 54, struct file_dedupe_range)`.
const FIDEDUPERANGE: libc::c_ulong = 0xc018_9436;
/// The kernel does at most this much in one call.
const PIECE: u64 = 16 << 20;

/// The kernel's `struct file_dedupe_range` with one `struct file_dedupe_range_info` behind it.
#[repr(C)]
struct Range {
    source_offset: u64,
    source_length: u64,
    count: u16,
    reserved: u16,
    reserved_more: u32,
    target: i64,
    target_offset: u64,
    deduped: u64,
    status: i32,
    reserved_too: u32,
}

/// Lets `target` share the blocks of `source` as far as both hold the same bytes, up to `length`. Returns how many bytes are
/// shared then; where the first piece differs, none.
pub fn dedupe(source: BorrowedFd<'_>, target: BorrowedFd<'_>, length: u64) -> io::Result<u64> {
    let mut done = 0;
    while done < length {
        let mut range = Range {
            source_offset: done,
            source_length: (length - done).min(PIECE),
            count: 1,
            reserved: 0,
            reserved_more: 0,
            target: target.as_raw_fd().into(),
            target_offset: done,
            deduped: 0,
            status: 0,
            reserved_too: 0,
        };
        // SAFETY: `range` is a live value laid out as the kernel's struct with as many targets behind it as `count` says; the
        // kernel reads and writes it during the call only. Both descriptors are borrowed, so they are open.
        let result = unsafe { libc::ioctl(source.as_raw_fd(), FIDEDUPERANGE, &raw mut range) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        if range.status < 0 {
            return Err(io::Error::from_raw_os_error(-range.status));
        }
        if range.status > 0 || range.deduped == 0 {
            break;
        }
        done += range.deduped;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_struct_is_laid_out_as_the_kernels() {
        assert_eq!(size_of::<Range>(), 24 + 32);
        assert_eq!(std::mem::offset_of!(Range, target), 24);
    }

    #[test]
    fn files_that_differ_keep_what_they_hold() {
        let dir = tempfile::tempdir().expect("dir");
        let file = |name: &str, byte: u8| {
            let path = dir.path().join(name);
            std::fs::write(&path, vec![byte; 8192]).expect("write");
            std::fs::File::options().read(true).write(true).open(path).expect("open")
        };
        let (one, other) = (file("one", 1), file("other", 2));
        // Nothing is shared, or the filesystem can't share at all.
        assert_eq!(dedupe(one.as_fd(), other.as_fd(), 8192).unwrap_or(0), 0);
        assert_eq!(std::fs::read(dir.path().join("other")).expect("read"), vec![2; 8192]);
    }
}
