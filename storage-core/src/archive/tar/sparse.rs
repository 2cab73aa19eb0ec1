//! Maps of sparse files: which pieces of the file the archive holds.

use crate::archive::tar::pax::decimal;
use crate::archive::tar::{Extent, bad, header};
use crate::error::Result;

/// The most pieces that one file may have: a map of 4 MiB in memory.
const MOST_EXTENTS: usize = 1 << 18;

/// What `GNU.sparse.*` records say.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    numbers: Vec<u64>,
    seen: bool,
}

impl PaxSparse {
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || decimal(value).ok_or_else(|| bad("a sparse record is not a number"));
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" if !value.contains(&0) => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(number()?),
            b"offset" | b"numbytes" => self.add(number()?, key == b"numbytes")?,
            b"map" => {
                self.numbers.clear();
                for (at, part) in value.split(|byte| *byte == b',').enumerate() {
                    if value.is_empty() {
                        break;
                    }
                    self.add(decimal(part).ok_or_else(|| bad("a sparse map is malformed"))?, at % 2 == 1)?;
                }
            }
            _ => {}
        }
        self.seen = true;
        Ok(())
    }

    /// Adds a number, where `is_length` says whether a length or an offset stands there.
    fn add(&mut self, number: u64, is_length: bool) -> Result<()> {
        if is_length != (self.numbers.len() % 2 == 1) {
            return Err(bad("a sparse map is malformed"));
        }
        if self.numbers.len() >= 2 * MOST_EXTENTS {
            return Err(bad("a sparse file has too many pieces"));
        }
        self.numbers.push(number);
        Ok(())
    }

    /// Whether the map stands at the beginning of the data (version 1.0).
    pub(super) fn map_in_data(&self) -> bool {
        self.major == Some(1) && self.minor == Some(0)
    }
}

/// The map that the records themselves hold (versions 0.0 and 0.1).
pub(super) fn from_records(records: &PaxSparse) -> Result<Option<Vec<Extent>>> {
    if !records.seen || records.map_in_data() || records.size.is_none() {
        return Ok(None);
    }
    if !records.numbers.len().is_multiple_of(2) {
        return Err(bad("a sparse map is malformed"));
    }
    Ok(Some(pairs(&records.numbers)))
}

fn pairs(numbers: &[u64]) -> Vec<Extent> {
    numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect()
}

/// Adds the extents of one header or extension block of the old GNU form; an empty one ends the map.
pub(super) fn from_block(fields: &[u8], map: &mut Vec<Extent>) -> Result<()> {
    for pair in fields.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let field = |bytes| {
            header::number(bytes).and_then(|n| u64::try_from(n).ok()).ok_or_else(|| bad("a sparse map is malformed"))
        };
        if map.len() >= MOST_EXTENTS {
            return Err(bad("a sparse file has too many pieces"));
        }
        map.push(Extent { offset: field(&pair[..12])?, length: field(&pair[12..])? });
    }
    Ok(())
}

/// Reads the decimal lines of a version 1.0 map. `more` gives the next block of the data.
pub(super) fn from_data(mut more: impl FnMut() -> Result<[u8; header::BLOCK]>) -> Result<Vec<Extent>> {
    let mut line = Vec::new();
    let mut count: Option<usize> = None;
    let mut numbers = Vec::new();
    loop {
        for byte in more()? {
            if count.is_some_and(|count| numbers.len() == 2 * count) {
                break; // The rest of the last block is padding.
            }
            if byte != b'\n' {
                if line.len() > 20 {
                    return Err(bad("a sparse map is malformed"));
                }
                line.push(byte);
                continue;
            }
            let number = decimal(&line).ok_or_else(|| bad("a sparse map is malformed"))?;
            line.clear();
            if count.is_some() {
                numbers.push(number);
            } else {
                let wanted = usize::try_from(number).ok().filter(|count| *count <= MOST_EXTENTS);
                count = Some(wanted.ok_or_else(|| bad("a sparse file has too many pieces"))?);
            }
        }
        if count.is_some_and(|count| numbers.len() == 2 * count) {
            return Ok(pairs(&numbers));
        }
    }
}

/// Refuses a map that is out of order, overlaps, leaves the file, or doesn't add up to the data that is stored.
pub(super) fn check(map: &[Extent], size: u64, stored: u64) -> Result<()> {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for extent in map {
        let next = extent.offset.checked_add(extent.length).filter(|next| extent.offset >= end && *next <= size);
        end = next.ok_or_else(|| bad("a sparse map is out of order"))?;
        total += extent.length;
    }
    if total == stored { Ok(()) } else { Err(bad("a sparse map doesn't match its data")) }
}
