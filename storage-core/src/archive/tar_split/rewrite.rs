//! The second pass over the lines, for archives in which a later entry destroyed what an earlier line promises.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use crate::archive::compression::read_failed;
use crate::archive::tar_split::json::{self, Line, corrupt};
use crate::archive::tar_split::ledger::Fix;
use crate::archive::tar_split::spool::compress;
use crate::archive::tar_split::{Checksum, LINE, SplitWriter};
use crate::error::{OsContext, Result};
use crate::task::Task;

/// Copies the lines of `spool` to `output` (both compressed), mended as `fixes` say; `saved` holds the bytes that were
/// copied aside.
pub(crate) fn rewrite<W: Write>(
    spool: impl Read,
    fixes: &HashMap<u32, Fix>,
    saved: Option<&File>,
    output: W,
    task: &Task,
) -> Result<W> {
    let mut input = BufReader::with_capacity(128 * 1024, flate2::read::GzDecoder::new(spool));
    let mut writer = SplitWriter::new(compress(output));
    let mut line = Vec::new();
    let mut raw = Vec::new();
    for position in 0.. {
        line.clear();
        raw.clear();
        if input.read_until(b'\n', &mut line).map_err(read_failed)? == 0 {
            break;
        }
        task.step(0, 0)?;
        match (json::parse(&line, &mut raw)?, fixes.get(&position)) {
            (Line::Segment, _) if raw.is_empty() => writer.nothing_follows()?,
            (Line::Segment, _) => writer.segment(&raw)?,
            (Line::File { name, size, crc }, None) => {
                writer.file(&name, size, crc.unwrap_or_default())?;
            }
            (Line::File { .. }, Some(Fix::Drop)) => {}
            (Line::File { size, crc, .. }, Some(Fix::Raw { offset, size: have })) => {
                let saved = saved.filter(|_| size == *have).ok_or_else(|| corrupt("a saved file has another size"))?;
                if Some(copy(saved, *offset, size, &mut writer)?) != crc {
                    return Err(corrupt("a saved file has another checksum"));
                }
            }
        }
    }
    writer.finish()?.finish().map_err(crate::archive::compression::write_failed)
}

fn copy<W: Write>(saved: &File, mut offset: u64, size: u64, writer: &mut SplitWriter<W>) -> Result<u64> {
    let mut buffer = vec![0; LINE];
    let mut checksum = Checksum::new();
    let end = offset + size;
    while offset < end {
        let length = usize::try_from(end - offset).map_or(LINE, |left| left.min(LINE));
        saved.read_exact_at(&mut buffer[..length], offset).os("pread", "saved data")?;
        checksum.update(&buffer[..length]);
        writer.data(&buffer[..length])?;
        offset += length as u64;
    }
    Ok(checksum.finish())
}
