//! The last-writer record: the first 64 bytes of a lock file.
//!
//! ```text
//! 0..8    nanoseconds since 1970, little endian
//! 8..16   a counter of this process, little endian
//! 16..20  the process id, little endian
//! 20..64  random bytes
//! ```
//!
//! Readers compare it as a whole and never look inside: other versions wrote other sizes and contents. A file of no bytes
//! means that nobody wrote yet, which is a normal state.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Result;
use crate::ids::random_bytes;

const SIZE: usize = 64;

/// Who wrote last, as an opaque value that only equality makes sense of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LastWrite {
    bytes: [u8; SIZE],
    length: usize,
}

impl LastWrite {
    /// The record of a lock file into which nobody wrote yet.
    pub const NEVER: LastWrite = LastWrite { bytes: [0; SIZE], length: 0 };

    /// A record that no other write has.
    pub fn fresh() -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(1);
        let mut bytes = [0; SIZE];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64);
        bytes[..8].copy_from_slice(&now.to_le_bytes());
        bytes[8..16].copy_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        bytes[16..20].copy_from_slice(&std::process::id().to_le_bytes());
        random_bytes(&mut bytes[20..])?;
        Ok(LastWrite { bytes, length: SIZE })
    }

    /// Reads a record by `read_at`, which fills a buffer from an offset.
    pub(super) fn read(mut read_at: impl FnMut(&mut [u8], u64) -> Result<usize>) -> Result<Self> {
        let mut record = LastWrite::NEVER;
        while record.length < SIZE {
            match read_at(&mut record.bytes[record.length..], record.length as u64)? {
                0 => break,
                read => record.length += read,
            }
        }
        Ok(record)
    }

    /// As it stands in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Debug for LastWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LastWrite({:02x?})", &self.bytes[..self.length.min(20)])
    }
}
