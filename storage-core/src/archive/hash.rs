//! SHA-256 in the form that records hold: `sha256:` and 64 hexadecimal digits.

use std::fmt::Write as _;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// Counts and hashes bytes.
#[derive(Clone, Default)]
pub(crate) struct Hasher {
    sha: Sha256,
    size: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digest and the number of bytes.
    pub(crate) fn finish(self) -> (String, u64) {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.sha.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        (text, self.size)
    }
}

/// Passes on what is written to it, and tells its digest and size afterwards.
pub struct HashingWriter<W> {
    output: W,
    hasher: Hasher,
}

impl<W> std::fmt::Debug for HashingWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashingWriter").field("size", &self.hasher.size).finish_non_exhaustive()
    }
}

impl<W: Write> HashingWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        HashingWriter { output, hasher: Hasher::default() }
    }

    /// The output, the digest (`sha256:…`) of what was written, and its size.
    pub fn finish(self) -> (W, String, u64) {
        let (digest, size) = self.hasher.finish();
        (self.output, digest, size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.output.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
