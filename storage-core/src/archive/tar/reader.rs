//! The streaming reader.

use std::io::{self, BufRead};

use crate::archive::compression::read_failed;
use crate::archive::tar::header::{BLOCK, Dialect, Header};
use crate::archive::tar::pax::Records;
use crate::archive::tar::{Entry, EntryKind, Extent, Time, bad, pax, shown, sparse};
use crate::error::Result;

/// The most that the extended headers of one entry may take: names, attributes and sparse maps.
const MOST_META: u64 = 8 << 20;

/// Reads an archive from front to back.
///
/// [`Reader::next_entry`] gives the next member, [`Reader::chunk`] and [`Reader::consume`] its stored data. All other
/// bytes (headers, padding, the end) collect in [`Reader::raw`], which the caller empties; so raw bytes and data
/// together are the archive, bit for bit.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    raw: Vec<u8>,
    /// Stored data of the current member that was not consumed yet.
    remaining: u64,
    /// Bytes after that data up to the next block.
    padding: usize,
    /// Bytes of extended headers read for the current entry.
    meta: u64,
    name: Vec<u8>,
    ended: bool,
}

/// What precedes an entry: GNU long names and PAX records.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`, which must be decompressed already.
    pub fn new(input: R) -> Self {
        Reader { input, raw: Vec::new(), remaining: 0, padding: 0, meta: 0, name: Vec::new(), ended: false }
    }

    /// The bytes outside of members' data since the caller last cleared this.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.raw
    }

    /// Whether the block of zeros that ends an archive was met; false at an end of input without one.
    pub fn ended_properly(&self) -> bool {
        self.ended
    }

    /// What follows the end of the archive.
    pub fn into_rest(self) -> R {
        self.input
    }

    /// The next piece of the current member's stored data; empty at its end.
    pub fn chunk(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let name = &self.name;
        let chunk = fill(&mut self.input).map_err(read_failed)?;
        if chunk.is_empty() {
            return Err(bad(format!("it ends early, in the data of {:?}", shown(name))));
        }
        let length = usize::try_from(self.remaining).map_or(chunk.len(), |remaining| remaining.min(chunk.len()));
        Ok(&chunk[..length])
    }

    /// Marks `length` bytes of the last chunk as used.
    pub fn consume(&mut self, length: usize) {
        self.remaining -= length as u64;
        self.input.consume(length);
    }

    /// The next member, or none at the end of the archive. Stored data of the last one that was not consumed is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        while self.remaining > 0 {
            let length = self.chunk()?.len();
            self.consume(length);
        }
        let padding = std::mem::take(&mut self.padding);
        self.skip_padding(padding)?;
        self.meta = 0;
        let mut before = Before::default();
        loop {
            let Some(block) = self.block()? else {
                if self.meta > 0 {
                    return Err(bad("it ends early, behind an extended header"));
                }
                return Ok(None);
            };
            if block == [0; BLOCK] {
                return self.end();
            }
            let header = Header::checked(&block).ok_or_else(|| bad("the checksum of a header is wrong"))?;
            match header.kind() {
                b'L' => before.name = Some(self.long(header.size()?)?),
                b'K' => before.link = Some(self.long(header.size()?)?),
                b'x' | b'X' => {
                    let data = self.meta_data(header.size()?)?;
                    before.records = Records::default();
                    before.records.parse(&data)?;
                }
                b'g' => {
                    // Read for its errors only: its records apply to nothing.
                    let data = self.meta_data(header.size()?)?;
                    Records::default().parse(&data)?;
                    return Ok(Some(global(header.name())));
                }
                _ => {
                    let entry = self
                        .entry(&header, before)
                        .map_err(|error| error.detail(format!("in the entry {:?}", shown(&header.name()))))?;
                    self.name.clone_from(&entry.name);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Behind one block of zeros comes another one, or nothing.
    fn end(&mut self) -> Result<Option<Entry>> {
        self.ended = true;
        match self.block()? {
            None => Ok(None),
            Some(block) if block == [0; BLOCK] => Ok(None),
            Some(_) => Err(bad("a block of zeros stands between its entries")),
        }
    }

    fn entry(&mut self, header: &Header<'_>, before: Before) -> Result<Entry> {
        let Before { name, link, records } = before;
        let mut name = records.path.clone().or(name).unwrap_or_else(|| header.name());
        let kind = kind(header.kind(), &name)?;
        let mut stored = records.size.map_or_else(|| header.size(), Ok)?;
        if kind != EntryKind::Regular {
            stored = 0; // Only files have data, whatever size a header states.
        }
        self.remaining = stored;
        self.padding = ((BLOCK as u64 - stored % BLOCK as u64) % BLOCK as u64) as usize;
        let mut size = stored;
        let sparse = if kind == EntryKind::Regular { self.sparse_map(header, &records)? } else { None };
        if let Some((map, real)) = &sparse {
            sparse::check(map, *real, self.remaining)?;
            size = *real;
            name = records.sparse.name.clone().unwrap_or(name);
        }
        let device = match kind {
            EntryKind::Char | EntryKind::Block => header.device()?,
            _ => (0, 0),
        };
        Ok(Entry {
            kind,
            name,
            link: records.link.or(link).unwrap_or_else(|| header.link().to_vec()),
            mode: header.mode()?,
            uid: records.uid.map_or_else(|| header.uid(), Ok).and_then(owner)?,
            gid: records.gid.map_or_else(|| header.gid(), Ok).and_then(owner)?,
            size,
            stored: self.remaining,
            mtime: records.mtime.map_or_else(|| header.mtime().map(|seconds| Time { seconds, nanos: 0 }), Ok)?,
            atime: records.atime,
            device,
            xattrs: records.xattrs.into_iter().collect(),
            sparse: sparse.map(|(map, _)| map),
        })
    }

    /// The map and the real size of a sparse file; what stands of it in blocks of its own is read.
    fn sparse_map(&mut self, header: &Header<'_>, records: &Records) -> Result<Option<(Vec<Extent>, u64)>> {
        if header.kind() == b'S' {
            if header.dialect() != Dialect::Gnu {
                return Err(bad("a sparse file in a dialect without them"));
            }
            let (fields, mut more, size) = header.gnu_sparse();
            let mut map = Vec::new();
            sparse::from_block(fields, &mut map)?;
            while more {
                let block = self.block()?.ok_or_else(|| bad("it ends early, in a sparse map"))?;
                sparse::from_block(&block[..504], &mut map)?;
                more = block[504] != 0;
                self.count_meta(BLOCK as u64)?;
            }
            return Ok(Some((map, size?)));
        }
        if records.sparse.map_in_data() {
            let map = sparse::from_data(|| {
                self.count_meta(BLOCK as u64)?;
                let left = self.remaining.checked_sub(BLOCK as u64);
                self.remaining = left.ok_or_else(|| bad("a sparse map is longer than its data"))?;
                self.block()?.ok_or_else(|| bad("it ends early, in a sparse map"))
            })?;
            let size = records.sparse.size.ok_or_else(|| bad("a sparse file without its size"))?;
            return Ok(Some((map, size)));
        }
        let map = pax::sparse_extents(records)?;
        Ok(map.map(|map| (map, records.sparse.size.unwrap_or_default())))
    }

    fn long(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.meta_data(size)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    /// The data of an extended header, padding taken off.
    fn meta_data(&mut self, size: u64) -> Result<Vec<u8>> {
        self.count_meta(size.max(1))?;
        let start = self.raw.len();
        let blocks = size.div_ceil(BLOCK as u64) as usize;
        for _ in 0..blocks {
            self.block()?.ok_or_else(|| bad("it ends early, in an extended header"))?;
        }
        Ok(self.raw[start..start + size as usize].to_vec())
    }

    fn count_meta(&mut self, length: u64) -> Result<()> {
        self.meta = self.meta.saturating_add(length);
        if self.meta > MOST_META {
            return Err(bad(format!("the extended headers of one entry are longer than {MOST_META} bytes")));
        }
        Ok(())
    }

    /// One block, kept as raw bytes; none when the input ends in front of it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let chunk = fill(&mut self.input).map_err(read_failed)?;
            if chunk.is_empty() {
                break;
            }
            let length = chunk.len().min(BLOCK - have);
            block[have..have + length].copy_from_slice(&chunk[..length]);
            self.input.consume(length);
            have += length;
        }
        self.raw.extend_from_slice(&block[..have]);
        match have {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(bad("it ends early, in a header")),
        }
    }

    /// Reads the padding behind a file's data. Its absence at the very end of the input is told by the missing end.
    fn skip_padding(&mut self, mut length: usize) -> Result<()> {
        while length > 0 {
            let chunk = fill(&mut self.input).map_err(read_failed)?;
            if chunk.is_empty() {
                return Err(bad(format!("it ends early, behind the data of {:?}", shown(&self.name))));
            }
            let used = chunk.len().min(length);
            self.raw.extend_from_slice(&chunk[..used]);
            self.input.consume(used);
            length -= used;
        }
        Ok(())
    }
}

/// [`BufRead::fill_buf`] that tries again when a signal interrupts it.
fn fill<R: BufRead>(input: &mut R) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    input.fill_buf()
}

fn global(name: Vec<u8>) -> Entry {
    Entry::bare(EntryKind::Global, name)
}

/// Refuses the number that means "no change" to the kernel.
fn owner(id: u32) -> Result<u32> {
    if id == u32::MAX { Err(bad(format!("{id} can't be an owner"))) } else { Ok(id) }
}

fn kind(flag: u8, name: &[u8]) -> Result<EntryKind> {
    Ok(match flag {
        // Before directories had a type of their own, a slash at the end told them.
        0 if name.ends_with(b"/") => EntryKind::Directory,
        0 | b'0' | b'7' | b'S' => EntryKind::Regular,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::Char,
        b'4' => EntryKind::Block,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => return Err(bad(format!("it has the unknown type {:?}", char::from(other)))),
    })
}
