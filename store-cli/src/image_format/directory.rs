//! The files below a directory. Links are followed as long as they stay beneath it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use storage_core::fs::beneath::{self, Links};
use storage_core::{Error, Kind, Result};

use super::bad;
use super::files::Piece;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    top: File,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let top = File::open(path).map_err(|source| Error::os("open", path, source))?;
        Ok(Directory { top })
    }

    pub(super) fn find(&self, path: &str) -> Result<Option<Piece>> {
        let file = match beneath::open_file(self.top.as_fd(), Path::new(path), Links::Beneath) {
            Ok(file) => file,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata().map_err(|source| Error::os("fstat", path, source))?;
        if !metadata.is_file() {
            return Err(bad("it is not a regular file").at(path));
        }
        Ok(Some(Piece::new(Arc::new(file), 0, metadata.len(), path)))
    }
}
