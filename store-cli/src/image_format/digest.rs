//! Digests: `sha256:` and 64 hexadecimal digits, and nothing else.

use std::fmt;
use std::io::{self, Write};

use serde::Deserialize;
use storage_core::Result;
use storage_core::archive::HashingWriter;

use super::{bad, refused};

/// A digest whose form was checked, so that its digits can stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Digest(String);

const PREFIX: &str = "sha256:";
/// Algorithms that others may use.
const OTHERS: [&str; 3] = ["sha512:", "sha384:", "blake3:"];

impl Digest {
    /// Checks the form of `text`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix(PREFIX) {
            Some(hex) if is_hex(hex) => Ok(Digest(text.to_owned())),
            None if OTHERS.iter().any(|other| text.starts_with(other)) => Err(refused(malformed(text))),
            _ => Err(bad(malformed(text))),
        }
    }

    /// The digest of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self> {
        let mut hasher = hasher();
        hasher.write_all(bytes).map_err(storage_core::archive::compression::write_failed)?;
        Self::parse(&hasher.finish().1)
    }

    /// `sha256:…`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 digits.
    pub(crate) fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// Where the blob stands in an image layout.
    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hex())
    }
}

/// Counts and hashes what is written to it.
pub(super) fn hasher() -> HashingWriter<io::Sink> {
    HashingWriter::new(io::sink())
}

/// Whether `text` is the digits of a digest.
pub(super) fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn malformed(text: &str) -> String {
    let shown: String = text.chars().take(100).collect();
    format!("{shown:?} is not a digest by SHA-256: sha256: and 64 digits 0-9a-f")
}

impl TryFrom<String> for Digest {
    /// Only words: the parser of the document puts its own around them.
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).map_err(|_| malformed(&text))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_a_digest() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(Digest::parse(&good).expect("a digest").path(), format!("blobs/sha256/{}", "0a".repeat(32)));
        let traversal = format!("sha256:{}", "../".repeat(21) + "a");
        for text in ["", "sha256:", "sha256:..", &traversal, &good.to_uppercase(), &good[7..], &good[..70], "md5:00"] {
            assert!(Digest::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let digest = Digest::of(b"").expect("a digest");
        assert_eq!(digest.as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
