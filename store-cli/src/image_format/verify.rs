//! Readers that check what they read.

use std::io::{self, Read, Write};

use storage_core::archive::HashingWriter;
use storage_core::{Error, Kind, Result};

use super::bad;
use super::digest::{Digest, hasher};
use super::files::Piece;

/// The most that a manifest, a config or a list may take.
pub(super) const MOST_JSON: u64 = 4 << 20;

/// Reads all of a manifest or the like.
pub(super) fn read_document(piece: &Piece) -> Result<Vec<u8>> {
    if piece.size() > MOST_JSON {
        return Err(Error::new(Kind::TooLarge, "read image")
            .at(piece.path())
            .detail(format!("{} bytes are more than the {MOST_JSON} that are read of it", piece.size())));
    }
    let mut bytes = Vec::new();
    let read = piece.reader().take(MOST_JSON + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::os("read", piece.path(), source))?;
    if bytes.len() as u64 != piece.size() {
        return Err(bad("its size changed while it was read").at(piece.path()));
    }
    Ok(bytes)
}

/// Passes on what it reads, and fails at the end when size or digest are not what they must be. The last bytes come only
/// when both are right.
pub(super) struct Verified<R> {
    input: R,
    hasher: Option<HashingWriter<io::Sink>>,
    digest: Digest,
    size: u64,
    seen: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Right,
    Wrong,
}

impl<R: Read> Verified<R> {
    pub(super) fn new(input: R, digest: Digest, size: u64) -> Self {
        Verified { input, hasher: Some(hasher()), digest, size, seen: 0, state: State::Reading }
    }

    fn step(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.seen += length as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.write_all(&buffer[..length])?;
        }
        if length == 0 && self.seen < self.size {
            return Err(self.wrong(&format!("ends after {} of {} bytes", self.seen, self.size)));
        }
        let more = self.seen > self.size || (self.seen == self.size && length > 0 && self.goes_on()?);
        if more {
            return Err(self.wrong(&format!("is longer than {} bytes", self.size)));
        }
        if self.seen == self.size {
            self.check()?;
        }
        Ok(length)
    }

    /// Whether anything follows. What was read before is lost when this fails, so that nothing may be read after it.
    fn goes_on(&mut self) -> io::Result<bool> {
        loop {
            match self.input.read(&mut [0]) {
                Ok(length) => return Ok(length > 0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::Wrong;
                    return Err(error);
                }
            }
        }
    }

    fn check(&mut self) -> io::Result<()> {
        let found = self.hasher.take().map(|hasher| hasher.finish().1).unwrap_or_default();
        if found != self.digest.as_str() {
            return Err(self.wrong(&format!("has the digest {found}")));
        }
        self.state = State::Right;
        Ok(())
    }

    fn wrong(&mut self, what: &str) -> io::Error {
        self.state = State::Wrong;
        io::Error::other(bad(format!("the blob {} {what}", self.digest)))
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Right => Ok(0),
            State::Wrong => Err(self.wrong("was found wrong before")),
            State::Reading if buffer.is_empty() => Ok(0),
            State::Reading => self.step(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8], digest_of: &[u8], size: u64) -> std::result::Result<Vec<u8>, String> {
        let digest = Digest::of(digest_of).expect("digest");
        let mut bytes = Vec::new();
        let read = Verified::new(data, digest, size).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_right_bytes_are_read_to_their_end() {
        assert_eq!(read(b"layer", b"layer", 5).expect("right"), b"layer");
        assert_eq!(read(b"", b"", 0).expect("right"), b"");
        for (data, of, size, words) in [
            (&b"layer"[..], &b"other"[..], 5, "has the digest sha256:"),
            (b"lay", b"layer", 5, "ends after 3 of 5"),
            (b"layers", b"layer", 5, "longer than 5"),
            (b"layer", b"layer", 4, "longer than 4"),
            (b"x", b"", 0, "longer than 0"),
            (b"", b"layer", 5, "ends after 0"),
        ] {
            let error = read(data, of, size).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }

    /// Gives its bytes, then fails once with each of these.
    struct Failing(&'static [u8], Vec<io::ErrorKind>);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => self.1.pop().map_or(Ok(0), |kind| Err(kind.into())),
                length => Ok(length),
            }
        }
    }

    #[test]
    fn a_failure_behind_the_last_bytes_is_no_end() {
        let reader = |kinds| Verified::new(Failing(b"layer", kinds), Digest::of(b"layer").expect("digest"), 5);
        let mut bytes = Vec::new();
        reader(vec![io::ErrorKind::Interrupted]).read_to_end(&mut bytes).expect("a signal is no failure");
        assert_eq!(bytes, b"layer");
        let mut failing = reader(vec![io::ErrorKind::Other]);
        assert!(failing.read(&mut [0; 9]).is_err());
        assert!(failing.read(&mut [0; 9]).is_err(), "an end would hide that the last bytes were lost");
    }

    #[test]
    fn the_last_bytes_of_a_wrong_blob_are_never_given_out() {
        let mut reader = Verified::new(&b"layer"[..], Digest::of(b"other").expect("digest"), 5);
        let mut buffer = [0; 3];
        assert_eq!(reader.read(&mut buffer).expect("the first bytes"), 3);
        assert!(reader.read(&mut buffer).is_err());
        assert!(reader.read(&mut buffer).is_err(), "a failure lasts");
    }
}
