//! The one pass over an incoming layer archive: decompress, hash, extract, and keep what gives the archive back.
//!
//! Reading, decompressing and hashing run on one thread, extraction on the caller's, the compression of the tar-split
//! lines on a third. Buffers are few, of fixed size and reused; beside them an ingest keeps less than 64 bytes for each
//! entry. A caller that waits in `read` of the input (a pipe whose writer hangs) can't be stopped before the read ends.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::mpsc;

use crate::archive::compression::{Compression, write_failed};
use crate::archive::extract::{Extractor, Placed, Strictness};
use crate::archive::feed::{self, BUFFERS, Fodder};
use crate::archive::names;
use crate::archive::tar::{Entry, EntryKind, Reader, bad, shown};
use crate::archive::tar_split::{Checksum, Lines, SplitWriter, Spool, rewrite};
use crate::error::{Error, Kind, Result};
use crate::idmap::Maps;
use crate::task::Task;

/// How the whiteouts of an archive are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// As the overlay filesystem keeps them: a character device 0:0, and an xattr for opaque directories.
    Overlay {
        /// The xattr is `user.overlay.opaque` (else `trusted.overlay.opaque`).
        user_xattr: bool,
    },
    /// By removing what is there.
    Apply,
}

/// What an archive without its end (two blocks of zeros) means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It was cut off between two entries, and is refused.
    #[default]
    Required,
    /// It is complete, as the reference takes it. For callers that know the digest.
    Optional,
}

/// How to ingest.
pub struct Ingest<'a> {
    /// How whiteouts are applied.
    pub whiteouts: Whiteouts,
    /// Receives the complete content of the tar-split file, which is written at the end, after all else succeeded.
    pub tar_split: Option<Box<dyn Write + Send + 'a>>,
    /// The maps with which owners are kept: an id of the archive that they don't have is [`Kind::InvalidMappings`].
    pub maps: Maps,
    /// A refused change of owner is no error.
    pub ignore_chown_errors: bool,
    /// The process is not privileged: devices are left out, refused xattrs are no error.
    pub in_user_ns: bool,
    /// What an archive without its end means.
    pub ending: Ending,
}

impl Ingest<'_> {
    /// Extracts with these whiteouts, everything else strict, without a tar-split.
    pub fn new(whiteouts: Whiteouts) -> Self {
        Ingest {
            whiteouts,
            tar_split: None,
            maps: Maps::NONE,
            ignore_chown_errors: false,
            in_user_ns: false,
            ending: Ending::Required,
        }
    }
}

impl std::fmt::Debug for Ingest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("whiteouts", &self.whiteouts)
            .field("tar_split", &self.tar_split.is_some())
            .field("maps", &self.maps)
            .field("ignore_chown_errors", &self.ignore_chown_errors)
            .field("in_user_ns", &self.in_user_ns)
            .field("ending", &self.ending)
            .finish()
    }
}

/// What was ingested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// How the archive was compressed.
    pub compression: Compression,
    /// The digest of the bytes as received.
    pub compressed_digest: String,
    /// Their number.
    pub compressed_size: i64,
    /// The digest of the uncompressed archive.
    pub diff_digest: String,
    /// Its size.
    pub diff_size: i64,
    /// The owners of all entries but whiteouts, sorted.
    pub uids: Vec<u32>,
    /// The groups of all entries but whiteouts, sorted.
    pub gids: Vec<u32>,
    /// The number of entries, whiteouts included.
    pub entries: u64,
}

/// Extracts the archive `input` into the directory `root`, and nowhere else: no name and no link of the archive leads
/// outside ([`Kind::Escape`]).
///
/// When it fails, `root` holds a part of the archive, and the tar-split nothing of use: both are to be thrown away.
pub fn ingest(input: impl Read + Send, root: BorrowedFd<'_>, options: Ingest<'_>, task: &Task) -> Result<Ingested> {
    let Ingest { whiteouts, tar_split, maps, ignore_chown_errors, in_user_ns, ending } = options;
    let wants_split = tar_split.is_some();
    let mut extractor = Extractor::new(root, whiteouts, maps, Strictness { ignore_chown_errors, in_user_ns });
    let (full, fodder) = mpsc::sync_channel(BUFFERS);
    let (back, empty) = mpsc::channel();
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || feed::feed(input, &full, &empty));
        let mut spooler = None;
        let mut split = None;
        if wants_split {
            let spool = Spool::new(root)?;
            let (full, lines) = mpsc::sync_channel(4);
            let (back, empty) = mpsc::channel();
            spooler = Some(scope.spawn(move || spool.run(&lines, &back)));
            split = Some(SplitWriter::new(Lines::new(full, empty)));
        }
        let reader = Reader::new(Fodder::new(fodder, back));
        let passed = pass(reader, &mut extractor, &mut split, ending, task);
        // The compressor ends when its sender is gone; when it failed, its error is the first cause.
        let finished = split.map(SplitWriter::finish).transpose().map(drop);
        let spool = spooler.map(|thread| thread.join().map_err(|_| feed::vanished()).flatten()).transpose()?;
        let entries = passed?;
        finished?;
        let fed = feeder.join().ok().flatten().ok_or_else(feed::vanished)?;
        let (uids, gids, ledger) = extractor.finish()?;
        if let (Some(mut spool), Some(mut output)) = (spool, tar_split) {
            match ledger.into_fixes() {
                None => drop(io::copy(&mut spool, &mut output).map_err(write_failed)?),
                Some((fixes, saved)) => drop(rewrite(spool, &fixes, saved.as_ref(), &mut output, task)?),
            }
            output.flush().map_err(write_failed)?;
        }
        Ok(Ingested {
            compression: fed.compression,
            compressed_digest: fed.compressed.0,
            compressed_size: fed.compressed.1 as i64,
            diff_digest: fed.uncompressed.0,
            diff_size: fed.uncompressed.1 as i64,
            uids,
            gids,
            entries,
        })
    })
}

type Split = Option<SplitWriter<Lines>>;

/// Goes through the archive; the number of its entries.
fn pass(
    mut reader: Reader<Fodder>,
    extractor: &mut Extractor<'_>,
    split: &mut Split,
    ending: Ending,
    task: &Task,
) -> Result<u64> {
    let mut entries = 0;
    while let Some(entry) = reader.next_entry()? {
        flush_raw(&mut reader, split)?;
        if entry.kind != EntryKind::Global {
            one(&mut reader, &entry, extractor, split, task)
                .map_err(|error| error.detail(format!("in the entry {:?}", shown(&entry.name))))?;
            entries += 1;
        }
        task.step(0, 1)?;
    }
    if !reader.ended_properly() && ending == Ending::Required {
        return Err(bad("it ends early, without the blocks of zeros that end an archive"));
    }
    flush_raw(&mut reader, split)?;
    let mut rest = reader.into_rest();
    let mut nothing = true;
    loop {
        let chunk = rest.fill_buf().map_err(crate::archive::compression::read_failed)?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        nothing = false;
        if let Some(split) = split {
            split.segment(chunk)?;
        }
        rest.consume(length);
        task.step(length as u64, 0)?;
    }
    if let Some(split) = split.as_mut().filter(|_| nothing) {
        split.nothing_follows()?;
    }
    Ok(entries)
}

fn flush_raw(reader: &mut Reader<Fodder>, split: &mut Split) -> Result<()> {
    let raw = reader.raw();
    if let Some(split) = split {
        split.segment(raw)?;
    }
    raw.clear();
    Ok(())
}

/// Extracts one entry and writes its line.
fn one(
    reader: &mut Reader<Fodder>,
    entry: &Entry,
    extractor: &mut Extractor<'_>,
    split: &mut Split,
    task: &Task,
) -> Result<()> {
    let path = names::clean_relative(&entry.name)?;
    let placed = extractor.place(entry, &path, task)?;
    let Placed::File(mut file) = placed else {
        if entry.stored > 0 {
            // An entry whose data goes nowhere: a whiteout with content.
            copy_raw(reader, split, task)?;
        } else if let Some(split) = split {
            extractor.name_line(&path, split, &entry.name)?;
        }
        return Ok(());
    };
    let replayable = file.replayable && entry.sparse.is_none();
    let mut checksum = Checksum::new();
    loop {
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            break;
        }
        file.write(chunk)?;
        match split {
            Some(_) if replayable => checksum.update(chunk),
            Some(split) => split.data(chunk)?,
            None => {}
        }
        reader.consume(length);
        task.step(length as u64, 0)?;
    }
    extractor.finish_file(file, entry)?;
    let Some(split) = split else { return Ok(()) };
    if replayable && entry.size > 0 {
        let position = split.file(&entry.name, entry.size, checksum.finish())?;
        extractor.named(&path, position);
    } else if entry.stored == 0 && entry.sparse.is_none() {
        extractor.name_line(&path, split, &entry.name)?;
    }
    Ok(())
}

fn copy_raw(reader: &mut Reader<Fodder>, split: &mut Split, task: &Task) -> Result<()> {
    loop {
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            return Ok(());
        }
        if let Some(split) = split {
            split.data(chunk)?;
        }
        reader.consume(length);
        task.step(length as u64, 0)?;
    }
}

/// An entry that can't be made sense of.
pub(crate) fn refused(detail: impl Into<String>) -> Error {
    Error::new(Kind::BadArchive, "extract archive").detail(detail)
}
