//! Names of entries, made into paths that stay beneath a root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::archive::tar::{bad, shown};
use crate::error::{Error, Kind, Result};

/// The prefix of a name that hides the file of the rest of the name.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// The name that hides all that lower layers have in its directory.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// The prefix of names that AUFS keeps for itself.
pub(crate) const WHITEOUT_META: &[u8] = b".wh..wh.";

/// The longest name of an entry: walking to it takes a call for each component.
const LONGEST: usize = 64 * 1024;

/// An entry whose path would leave the root.
pub(crate) fn escape(name: &[u8], why: &str) -> Error {
    Error::new(Kind::Escape, "extract archive").detail(format!("the entry {:?} {why}", shown(name)))
}

/// The path of a name: relative, without `.`, `..`, doubled and closing slashes; empty for the root. A leading `/` is
/// taken off. Fails with [`Kind::Escape`] when a `..` leads outside.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<u8>> {
    if name.len() > LONGEST {
        return Err(bad(format!("a name is longer than {LONGEST} bytes")));
    }
    if name.contains(&0) {
        return Err(bad(format!("the name {:?} holds a NUL", shown(name))));
    }
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if path.is_empty() => return Err(escape(name, "leads outside of the layer")),
            b".." => path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Ok(path)
}

/// As [`clean`], for a name in an archive that is extracted: an absolute one is refused with [`Kind::Escape`], since it
/// means a place outside of the layer.
pub(crate) fn clean_relative(name: &[u8]) -> Result<Vec<u8>> {
    if name.starts_with(b"/") { Err(escape(name, "is absolute")) } else { clean(name) }
}

/// The directory part of a clean path and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// Joins a directory and a name, either of which may be empty.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() || name.is_empty() { [dir, name].concat() } else { [dir, b"/", name].concat() }
}

pub(crate) fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_beneath_the_root() {
        for (name, path) in [
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            (".", ""),
            ("a/../b", "b"),
            ("a/b/..", "a"),
            ("a/..", ""),
        ] {
            assert_eq!(clean(name.as_bytes()).expect(name), path.as_bytes(), "{name}");
        }
        assert_eq!(clean(&vec![b'a'; LONGEST + 1]).map_err(|error| error.kind()), Err(Kind::BadArchive));
        for name in ["..", "../a", "a/../../b", "/.."] {
            assert_eq!(clean(name.as_bytes()).map_err(|error| error.kind()), Err(Kind::Escape), "{name}");
        }
    }
}
