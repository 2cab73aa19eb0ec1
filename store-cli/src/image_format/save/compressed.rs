//! A layer that is compressed for the occasion.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use storage_core::archive::compression::write_failed;
use storage_core::archive::{Compression, Encoder, HashingWriter};
use storage_core::{Error, Result, Task};

use super::OutgoingLayer;
use crate::image_format::Digest;
use crate::image_format::spool;

/// A compressed layer in a file without a name.
#[derive(Debug)]
pub(crate) struct Compressed {
    layer: OutgoingLayer,
    file: File,
}

impl Compressed {
    /// Compresses what `write` writes into a file in `place`.
    pub(crate) fn make(
        compression: Compression,
        place: &Path,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<Self> {
        let file = spool::unnamed(place)?;
        let mut encoder = Encoder::new(HashingWriter::new(file), compression)?;
        write(&mut encoder)?;
        let mut hashing = encoder.finish()?;
        hashing.flush().map_err(write_failed)?;
        let (file, digest, size) = hashing.finish();
        Ok(Compressed { layer: OutgoingLayer { digest: Digest::parse(&digest)?, size, compression }, file })
    }

    /// What it is now.
    pub(crate) fn layer(&self) -> &OutgoingLayer {
        &self.layer
    }

    /// Writes it to `output`.
    pub(crate) fn write_to(&mut self, output: &mut dyn Write, task: &Task) -> Result<()> {
        self.file.rewind().map_err(|source| Error::os("lseek", "temporary file", source))?;
        spool::copy(&mut self.file, output, task)
    }
}
