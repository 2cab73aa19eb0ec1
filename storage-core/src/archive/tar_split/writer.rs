//! Writing the lines while an archive passes by.

use std::io::Write;

use crc_fast::{CrcAlgorithm, Digest};

use crate::archive::compression::write_failed;
use crate::archive::tar_split::{LINE, MOST_RAW, json};
use crate::error::{Error, Kind, Result};

/// Lines are handed on in pieces of about this size.
const PIECE: usize = 128 * 1024;

/// The checksum of a file's content: CRC-64 as Go's ISO table has it.
pub(crate) struct Checksum(Digest);

impl Checksum {
    pub(crate) fn new() -> Self {
        Checksum(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finalize()
    }
}

/// Numbers and writes lines; not compressed.
pub(crate) struct SplitWriter<W> {
    output: W,
    lines: Vec<u8>,
    position: u32,
    raw: u64,
}

impl<W: Write> SplitWriter<W> {
    pub(crate) fn new(output: W) -> Self {
        SplitWriter { output, lines: Vec::with_capacity(2 * PIECE), position: 0, raw: 0 }
    }

    /// Raw bytes of the archive; no line when there are none.
    pub(crate) fn segment(&mut self, raw: &[u8]) -> Result<()> {
        for part in raw.chunks(LINE) {
            let position = self.number()?;
            json::push_segment(&mut self.lines, part, position);
            self.hand_on(PIECE)?;
        }
        Ok(())
    }

    /// Data of a file, kept as raw bytes because the disk can't give it back.
    pub(crate) fn data(&mut self, data: &[u8]) -> Result<()> {
        self.raw += data.len() as u64;
        if self.raw > MOST_RAW {
            return Err(too_much());
        }
        self.segment(data)
    }

    /// A file whose content the disk holds, or anything without content. The number of its line.
    pub(crate) fn file(&mut self, name: &[u8], size: u64, crc: u64) -> Result<u32> {
        let position = self.number()?;
        json::push_file(&mut self.lines, name, size, crc, position);
        self.hand_on(PIECE)?;
        Ok(position)
    }

    /// The line behind the end of the archive when nothing follows it.
    pub(crate) fn nothing_follows(&mut self) -> Result<()> {
        let position = self.number()?;
        json::push_segment(&mut self.lines, &[], position);
        Ok(())
    }

    /// Hands on what is left, and gives back the output.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.hand_on(1)?;
        Ok(self.output)
    }

    fn number(&mut self) -> Result<u32> {
        let position = self.position;
        self.position += 1;
        if self.position >= super::ledger::UNNAMED {
            return Err(Error::new(Kind::TooLarge, "write tar-split").detail("the archive has too many entries"));
        }
        Ok(position)
    }

    fn hand_on(&mut self, least: usize) -> Result<()> {
        if self.lines.len() >= least {
            self.output.write_all(&self.lines).map_err(write_failed)?;
            self.lines.clear();
        }
        Ok(())
    }
}

/// The error when more data than allowed would be stored twice.
pub(super) fn too_much() -> Error {
    Error::new(Kind::TooLarge, "write tar-split")
        .detail(format!("more than {MOST_RAW} bytes of sparse or repeated files would be stored twice"))
}
