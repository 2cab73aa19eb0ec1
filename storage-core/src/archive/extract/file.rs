//! A new file that takes its data.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::archive::names;
use crate::archive::tar::{Entry, Extent};
use crate::error::{OsContext, Result};

/// A file being written; a sparse one gets holes where the archive has no data.
pub(crate) struct NewFile {
    file: File,
    path: Vec<u8>,
    size: u64,
    /// The pieces still to come, last one first; none for a plain file.
    pieces: Option<Vec<Extent>>,
    /// Whether the file can be opened again by its name in the archive.
    pub(crate) replayable: bool,
}

impl NewFile {
    pub(super) fn new(fd: OwnedFd, path: &[u8], entry: &Entry, replayable: bool) -> Self {
        let pieces = entry.sparse.clone().map(|mut pieces| {
            pieces.retain(|piece| piece.length > 0);
            pieces.reverse();
            pieces
        });
        NewFile { file: File::from(fd), path: path.to_vec(), size: entry.size, pieces, replayable }
    }

    pub(crate) fn write(&mut self, mut data: &[u8]) -> Result<()> {
        let Some(pieces) = &mut self.pieces else {
            return self.file.write_all(data).os("write", names::os(&self.path));
        };
        // The reader has checked that the pieces add up to the data.
        while let Some(piece) = pieces.last_mut().filter(|_| !data.is_empty()) {
            let length = usize::try_from(piece.length).map_or(data.len(), |length| length.min(data.len()));
            self.file.write_all_at(&data[..length], piece.offset).os("pwrite", names::os(&self.path))?;
            data = &data[length..];
            piece.offset += length as u64;
            piece.length -= length as u64;
            if piece.length == 0 {
                pieces.pop();
            }
        }
        Ok(())
    }

    pub(super) fn complete(self) -> Result<File> {
        if self.pieces.is_some() {
            self.file.set_len(self.size).os("ftruncate", names::os(&self.path))?;
        }
        Ok(self.file)
    }
}
