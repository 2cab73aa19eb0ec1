//! What `zfs diff -FH` writes, told apart.
//!
//! One line a change: a letter, the type of the file, and one path or, for a rename, two; the paths begin with the mount
//! point. Bytes outside printable ASCII, the space and the backslash are written as `\` and four octal digits.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use storage_core::error::{Error, Kind, Result};

/// The directory of a file's extended attributes, which is shown as if it were below the file.
const ATTRIBUTES: &[u8] = b"/<xattrdir>";

/// Paths at which two trees can differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// All of them, from the root of the tree, with a leading `/`.
    pub(crate) paths: BTreeSet<PathBuf>,
    /// Those of directories whose entries may have changed.
    pub(crate) directories: BTreeSet<PathBuf>,
}

impl Named {
    /// Adds what `text` names, with paths below `mount`. Anything that can't be understood is an error.
    pub(crate) fn read(&mut self, text: &[u8], mount: &Path) -> Result<()> {
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.try_for_each(|line| self.line(line, mount).ok_or_else(|| wrong(line)))
    }

    fn line(&mut self, line: &[u8], mount: &Path) -> Option<()> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b'\t').collect();
        let ([b"M" | b"+" | b"-", kind, path] | [b"R" | b"M", kind, path, _]) = fields[..] else {
            return None;
        };
        let [kind] = kind else { return None };
        if !b"F/B>|@P=C".contains(kind) {
            return None;
        }
        self.add(path, *kind, mount)?;
        match fields[..] {
            [b"R", _, _, to] => self.add(to, *kind, mount),
            // How many names a file has more or fewer.
            [_, _, _, links] => (links.starts_with(b"(") && links.ends_with(b")")).then_some(()),
            _ => Some(()),
        }
    }

    fn add(&mut self, field: &[u8], kind: u8, mount: &Path) -> Option<()> {
        let whole = unescape(field)?;
        let owner = find(&whole, ATTRIBUTES).map(|at| whole[..at].to_vec());
        for path in owner.into_iter().chain([whole]) {
            let path = below(path, mount)?;
            if kind == b'/' {
                self.directories.insert(path.clone());
            }
            self.paths.insert(path);
        }
        Some(())
    }
}

/// The path from the root of the tree.
fn below(path: Vec<u8>, mount: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(path));
    let relative = path.strip_prefix(mount).ok()?;
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    plain.then(|| Path::new("/").join(relative))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Undoes `\` and four octal digits; anything else behind a `\` is nothing that the command writes.
fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'\\' {
            plain.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..4).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)))?;
        let value = digits.iter().fold(0_u16, |value, digit| value * 8 + u16::from(digit - b'0'));
        plain.push(u8::try_from(value).ok()?);
        rest = &tail[4..];
    }
    Some(plain)
}

fn wrong(line: &[u8]) -> Error {
    Error::new(Kind::Corrupt, "compare snapshots")
        .detail(format!("zfs diff says {:?}, which makes no sense", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Named, Kind> {
        let mut named = Named::default();
        named.read(text.as_bytes(), Path::new("/m/new")).map_err(|error| error.kind())?;
        Ok(named)
    }

    #[test]
    fn every_kind_of_line_names_its_paths() {
        let text = "M\t/\t/m/new/\nM\tF\t/m/new/a\\0040b\\0134\t(+1)\n+\t@\t/m/new/l\n-\tC\t/m/new/d/c\n\
            R\t/\t/m/new/old\t/m/new/new\nM\tF\t/m/new/f/<xattrdir>/user.x\n";
        let named = read(text).expect("named");
        let paths = ["/", "/a b\\", "/d/c", "/f", "/f/<xattrdir>/user.x", "/l", "/new", "/old"];
        assert_eq!(named.paths, paths.map(PathBuf::from).into());
        assert_eq!(named.directories, ["/", "/new", "/old"].map(PathBuf::from).into());
        assert_eq!(read("+\tF\t/m/new/\\0303\\0244\n").expect("named").paths, ["/ä"].map(PathBuf::from).into());
    }

    #[test]
    fn a_line_that_makes_no_sense_is_an_error() {
        for text in [
            "M\tF\n",
            "X\tF\t/m/new/a\n",
            "M\tZ\t/m/new/a\n",
            "M\tF\t/elsewhere/a\n",
            "M\tF\t/m/new/../a\n",
            "M\tF\t/m/new/a\\04\n",
            "M\tF\t/m/new/a\\0777\n",
            "+\tF\t/m/new/a\t/m/new/b\n",
            "M\tF\t/m/new/a\tb\n",
        ] {
            assert_eq!(read(text), Err(Kind::Corrupt), "{text:?}");
        }
    }
}
