//! Identifiers of layers, checked where they enter.
//!
//! An identifier becomes a file name in the graph root, so nothing that could leave its directory, hide, or collide with
//! a place that has another meaning is ever one. What a store's own files say is untrusted input and passes the same
//! gate, in a wider form: any single safe path component is accepted when read, since the reference accepts it too.

use std::fmt;

use crate::error::{Error, Kind, Result};

/// The identifier of a layer: one path component that can't lead elsewhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(Box<str>);

/// Names in a driver's home or in `<driver>-layers/` that have a meaning of their own.
const RESERVED: &[&str] = &["l", "tmp", "staging", "tempdirs", "dir", "subvolumes", "quotas", "graph"];

/// Whether a name has a meaning of its own where layers have their parts: a record file, a lock, a tar-split.
fn is_reserved(id: &str) -> bool {
    RESERVED.contains(&id)
        || id.starts_with("lamina-")
        || [".json", ".lock", ".gz"].iter().any(|suffix| id.ends_with(suffix))
}

/// The longest identifier accepted for a new layer: with the suffix of its tar-split file it must be a file name.
const LONGEST: usize = 128;

impl LayerId {
    /// Checks an identifier that a user chose for a new layer: letters, digits, `_`, `.` and `-`, starting with a letter
    /// or digit, at most 128 bytes, none of the store's own names. Fails with [`Kind::InvalidId`].
    pub fn for_new(id: &str) -> Result<Self> {
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        let starts_well = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let reserved = is_reserved(id);
        if !plain || !starts_well || id.len() > LONGEST || reserved {
            return Err(Error::new(Kind::InvalidId, "check identifier").detail(format!("{id:?} can't be an identifier")).remedy(
                "use letters, digits, '_', '.' and '-', at most 128, starting with a letter or digit, or let one be made",
            ));
        }
        Ok(LayerId(id.into()))
    }

    /// Checks an identifier found in a store: one path component, not hidden, no control bytes. Fails with
    /// [`Kind::Escape`], because anything else is an attempt to leave the store.
    pub fn from_store(id: &str) -> Result<Self> {
        let unsafe_name = id.is_empty()
            || id.starts_with('.')
            || id.len() > 255
            || id.bytes().any(|byte| byte == b'/' || byte.is_ascii_control())
            || is_reserved(id);
        if unsafe_name {
            return Err(
                Error::new(Kind::Escape, "check identifier").detail(format!("the store names {id:?} as a layer"))
            );
        }
        Ok(LayerId(id.into()))
    }

    /// A new random identifier: 64 hexadecimal digits, of which the first twelve aren't all decimal.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0_u8; 32];
            random_bytes(&mut bytes)?;
            let id: String =
                bytes.iter().flat_map(|byte| [HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]).collect();
            if !id.bytes().take(12).all(|byte| byte.is_ascii_digit()) {
                return Ok(LayerId(id.into()));
            }
        }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a digest: `sha256:`, `sha384:` or `sha512:` and as many hexadecimal digits, in lower case, as that algorithm gives.
/// Fails with [`Kind::Usage`].
pub fn check_digest(digest: &str) -> Result<()> {
    let length = |algorithm: &str| match algorithm {
        "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        _ => None,
    };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match digest.split_once(':') {
        Some((algorithm, digits)) if length(algorithm) == Some(digits.len()) && digits.bytes().all(is_hex) => Ok(()),
        _ => Err(Error::new(Kind::Usage, "check digest")
            .detail(format!("{digest:?}: invalid checksum digest format"))
            .remedy("write it as sha256: and 64 digits")),
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Fills `bytes` from the kernel's random source.
pub(crate) fn random_bytes(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|source| Error::new(Kind::Io, "getrandom").because(source))
}

/// `length` random characters of `alphabet`, for names of links and temporary directories.
pub fn random_name(alphabet: &[u8], length: usize) -> Result<String> {
    let mut bytes = vec![0_u8; length];
    random_bytes(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect())
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_identifiers_that_could_leave_their_directory_are_refused() {
        for id in
            ["", ".", "..", "a/b", "../x", "/x", "-x", ".x", "l", "tempdirs", "layers.json", "a\0b", "a b", "lamina-x"]
        {
            assert_eq!(LayerId::for_new(id).map_err(|error| error.kind()), Err(Kind::InvalidId), "{id:?}");
        }
        for id in ["a", "base_1.2-3", &"f".repeat(64)] {
            assert_eq!(LayerId::for_new(id).expect("a plain identifier").as_str(), id);
        }
    }

    #[test]
    fn identifiers_from_a_store_must_be_one_visible_component() {
        for id in
            ["", ".", "..", "a/b", "../../x", ".hidden", "l", "a\nb", "layers.json", "layers.lock", "x.tar-split.gz"]
        {
            assert_eq!(LayerId::from_store(id).map_err(|error| error.kind()), Err(Kind::Escape), "{id:?}");
        }
        assert!(LayerId::from_store("what the reference took").is_ok());
    }

    #[test]
    fn random_identifiers_are_64_hex_digits_and_never_look_like_a_number() {
        let id = LayerId::random().expect("random");
        assert_eq!(id.as_str().len(), 64);
        assert!(id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!id.as_str().bytes().take(12).all(|byte| byte.is_ascii_digit()));
    }

    #[test]
    fn only_whole_digests_of_known_algorithms_are_digests() {
        for digest in [format!("sha256:{}", "0a".repeat(32)), format!("sha512:{}", "f".repeat(128))] {
            check_digest(&digest).expect("a digest");
        }
        let upper = format!("sha256:{}", "A".repeat(64));
        for wrong in ["", "foo", "sha256:", "sha256:ab", "md5:d41d8cd98f00b204e9800998ecf8427e", &upper, "sha256:../x"]
        {
            assert_eq!(check_digest(wrong).map_err(|error| error.kind()), Err(Kind::Usage), "{wrong:?}");
        }
    }
}
