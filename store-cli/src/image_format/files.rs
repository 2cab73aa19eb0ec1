//! The files of an image: those of a directory, or the members of an archive.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use storage_core::{Error, Kind, Result};

use super::archive::Archive;
use super::directory::Directory;

/// Where the files of an image are found by their paths.
#[derive(Debug)]
pub(super) enum Files {
    Directory(Directory),
    Archive(Archive),
}

impl Files {
    /// The file at `path`, links followed; none where nothing has the name.
    pub(super) fn find(&self, path: &str) -> Result<Option<Piece>> {
        match self {
            Files::Directory(directory) => directory.find(path),
            Files::Archive(archive) => archive.find(path),
        }
    }
}

/// A file, or the part of one where a member of an archive stands.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    file: Arc<File>,
    offset: u64,
    size: u64,
    path: String,
}

impl Piece {
    pub(super) fn new(file: Arc<File>, offset: u64, size: u64, path: impl Into<String>) -> Self {
        Piece { file, offset, size, path: path.into() }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// A reader of its own, from the beginning. It ends early when the file became shorter.
    pub(super) fn reader(&self) -> PieceReader {
        PieceReader { file: Arc::clone(&self.file), at: self.offset, left: self.size }
    }
}

/// Reads without moving the file's own position, so that many can read at once.
#[derive(Debug)]
pub(super) struct PieceReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// `path`, which stands in `base` (a directory, empty for the top), without `.` and `..`. Fails with [`Kind::Escape`]
/// when it leads out of the top.
pub(super) fn inside(base: &str, path: &str) -> Result<String> {
    let escape = || Error::new(Kind::Escape, "read image").at(path).detail("it leads out of the image's files");
    if path.starts_with('/') {
        return Err(escape());
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(escape)?),
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(inside("a/b", "../c/./d").expect("inside"), "a/c/d");
        assert_eq!(inside("", "./x").expect("inside"), "x");
        for (base, path) in [("a", "../../x"), ("", ".."), ("a", "/etc/passwd"), ("", "a/../../x")] {
            assert_eq!(inside(base, path).map_err(|error| error.kind()), Err(Kind::Escape), "{base} {path}");
        }
    }
}
