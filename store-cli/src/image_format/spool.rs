//! A copy of input that can't be read twice: a compressed archive, or one from a pipe.

use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;

use storage_core::archive::compression::{read_failed, write_failed};
use storage_core::archive::tar::{BLOCK, looks_like_header};
use storage_core::{Error, Result, Task};

use super::bad;

/// How much is copied at a time.
const BUFFER: usize = 128 * 1024;

/// Copies `input`, compression undone, into a file without a name in `place`. What is no archive is refused before a
/// byte of it is written.
pub(super) fn spool(input: impl Read + Send, place: &Path, task: &Task) -> Result<File> {
    let (_, mut input) = storage_core::archive::decoder(input)?;
    let mut head = Vec::with_capacity(BLOCK);
    input.by_ref().take(BLOCK as u64).read_to_end(&mut head).map_err(read_failed)?;
    if !looks_like_header(&head) {
        return Err(not_an_archive());
    }
    let mut file = unnamed(place)?;
    copy(&mut Cursor::new(head).chain(input), &mut file, task)?;
    Ok(file)
}

/// A file in `place` that nobody else can find, and that goes with its last user.
pub(super) fn unnamed(place: &Path) -> Result<File> {
    tempfile::tempfile_in(place).map_err(|source| Error::os("open temporary file", place, source))
}

/// Copies everything.
pub(super) fn copy(input: &mut dyn Read, output: &mut dyn Write, task: &Task) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_failed(error)),
        };
        output.write_all(&buffer[..length]).map_err(write_failed)?;
        task.step(length as u64, 0)?;
    }
}

/// The refusal of what isn't even a tar archive.
pub(super) fn not_an_archive() -> Error {
    bad("it is no tar archive, nor one compressed with gzip, bzip2, xz or zstd")
}
