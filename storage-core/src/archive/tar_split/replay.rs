//! Giving an archive back bit for bit.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};

use crate::archive::compression::{read_failed, write_failed};
use crate::archive::names;
use crate::archive::tar::shown;
use crate::archive::tar_split::Checksum;
use crate::archive::tar_split::json::{self, Line, corrupt};
use crate::error::{Error, Kind, Result};
use crate::task::Task;

/// The bytes at the end of the archive that are written only after `before_end` agreed. The end proper is 1 KiB of
/// zeros, padded by many writers to 10 KiB.
const WITHHELD: usize = 64 * 1024;
/// Output is written in pieces of at least this size.
const PIECE: usize = 256 * 1024;
/// The longest line accepted: a reference that met large trailing data wrote it into one.
const LONGEST_LINE: u64 = 512 << 20;
/// Parsed lines go from thread to thread in batches of about this many raw bytes.
const BATCH: usize = 128 * 1024;

/// What was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The size of the archive.
    pub size: u64,
    /// How many files' contents were read.
    pub files: u64,
}

/// A file whose content comes next, behind `after` raw bytes of its batch.
struct Wanted {
    after: usize,
    name: Vec<u8>,
    size: u64,
    crc: Option<u64>,
}

/// Raw bytes of the archive with the places where files go.
#[derive(Default)]
struct Batch {
    raw: Vec<u8>,
    files: VecDeque<Wanted>,
}

/// Writes the archive that `split` (a tar-split file, gzip) describes to `out`.
///
/// `open` is asked for each file with content, by its path relative to the layer's root, without `.` and `..`. Its first
/// bytes, as many as the archive had, are copied and their checksum is compared: [`Kind::Changed`] names a file that
/// differs, is too short or can't be found. `before_end` is asked after the last file was read and before the last bytes
/// (64 KiB or less) are written: when it fails, the archive has no valid end.
pub fn replay(
    split: impl Read + Send,
    open: &mut dyn FnMut(&Path) -> Result<File>,
    out: &mut dyn Write,
    before_end: &mut dyn FnMut() -> Result<()>,
    task: &Task,
) -> Result<Replayed> {
    let mut refuse = |loss: Loss| loss.refuse();
    replay_with(split, open, out, before_end, &mut refuse, task)
}

/// As [`replay`], but a file that differs doesn't end it: `lost` is told, and zeros stand for the bytes that are missing.
pub fn replay_all(
    split: impl Read + Send,
    open: &mut dyn FnMut(&Path) -> Result<File>,
    out: &mut dyn Write,
    lost: &mut dyn FnMut(Loss),
    task: &Task,
) -> Result<Replayed> {
    let mut note = |loss: Loss| {
        lost(loss);
        Ok(())
    };
    replay_with(split, open, out, &mut || Ok(()), &mut note, task)
}

/// A file that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Its path in the layer.
    pub path: PathBuf,
    /// What is with it.
    pub what: &'static str,
}

impl Loss {
    fn refuse(&self) -> Result<()> {
        Err(Error::new(Kind::Changed, "replay archive").at(&self.path).detail(self.what))
    }
}

type Lost<'l> = &'l mut dyn FnMut(Loss) -> Result<()>;

fn replay_with(
    split: impl Read + Send,
    open: &mut dyn FnMut(&Path) -> Result<File>,
    out: &mut dyn Write,
    before_end: &mut dyn FnMut() -> Result<()>,
    lost: Lost<'_>,
    task: &Task,
) -> Result<Replayed> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(4);
        scope.spawn(move || parse(split, &sender));
        let mut output = Output { out, held: Vec::with_capacity(PIECE + 2 * WITHHELD), size: 0 };
        let files = assemble(&receiver, open, &mut output, lost, task)?;
        before_end()?;
        output.finish()?;
        Ok(Replayed { size: output.size, files })
    })
}

/// Reads and parses lines until the end, an error, or until nobody receives any more.
fn parse(split: impl Read, sender: &SyncSender<Result<Batch>>) {
    let mut input = BufReader::with_capacity(256 * 1024, flate2::bufread::MultiGzDecoder::new(BufReader::new(split)));
    let mut line = Vec::new();
    let mut batch = Batch::default();
    loop {
        match next(&mut input, &mut line, &mut batch) {
            Ok(more) => {
                if batch.raw.len() >= BATCH || batch.files.len() >= 512 || !more {
                    let gone = sender.send(Ok(std::mem::take(&mut batch))).is_err();
                    if gone || !more {
                        return;
                    }
                    batch.raw.reserve(BATCH + 4096);
                }
            }
            Err(error) => {
                let _ = sender.send(Err(error));
                return;
            }
        }
    }
}

fn next(input: &mut impl BufRead, line: &mut Vec<u8>, batch: &mut Batch) -> Result<bool> {
    line.clear();
    let length =
        input.by_ref().take(LONGEST_LINE).read_until(b'\n', line).map_err(|error| match error.raw_os_error() {
            None => corrupt("it is damaged or ends early").because(error),
            Some(_) => read_failed(error),
        })?;
    if length == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && length as u64 == LONGEST_LINE {
        return Err(corrupt("a line is too long"));
    }
    if let Line::File { name, size, crc } = json::parse(line, &mut batch.raw)?
        && size > 0
    {
        batch.files.push_back(Wanted { after: batch.raw.len(), name: name.into_owned(), size, crc });
    }
    Ok(true)
}

fn assemble(
    receiver: &Receiver<Result<Batch>>,
    open: &mut dyn FnMut(&Path) -> Result<File>,
    output: &mut Output<'_>,
    lost: Lost<'_>,
    task: &Task,
) -> Result<u64> {
    let mut files = 0;
    while let Ok(batch) = receiver.recv() {
        let batch = batch?;
        let mut done = 0;
        for wanted in batch.files {
            output.bytes(&batch.raw[done..wanted.after])?;
            done = wanted.after;
            content(&wanted, open, output, lost, task)?;
            files += 1;
        }
        output.bytes(&batch.raw[done..])?;
        task.step(0, 0)?;
    }
    Ok(files)
}

/// Copies the content of one file.
fn content(
    wanted: &Wanted,
    open: &mut dyn FnMut(&Path) -> Result<File>,
    output: &mut Output<'_>,
    lost: Lost<'_>,
    task: &Task,
) -> Result<()> {
    let path = PathBuf::from(names::os(&names::clean(&wanted.name)?));
    let crc = wanted.crc.ok_or_else(|| corrupt(format!("{:?} has no checksum", shown(&wanted.name))))?;
    let mut file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == Kind::NotFound => {
            lost(Loss { path, what: "the file is gone" })?;
            return output.zeros(wanted.size);
        }
        Err(error) => return Err(error),
    };
    let mut checksum = Checksum::new();
    let mut left = wanted.size;
    while left > 0 {
        let length = output.copy_from(&mut file, left, &mut checksum).map_err(|error| error.at(&path))?;
        if length == 0 {
            lost(Loss { path, what: "the file is shorter than it was" })?;
            return output.zeros(left);
        }
        left -= length;
        task.step(length, 0)?;
    }
    if checksum.finish() != crc {
        lost(Loss { path, what: "the content is not what it was" })?;
    }
    task.step(0, 1)
}

/// Collects output into large pieces and always keeps back the last bytes.
struct Output<'a> {
    out: &'a mut dyn Write,
    held: Vec<u8>,
    size: u64,
}

impl Output<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(PIECE) {
            self.held.extend_from_slice(part);
            self.size += part.len() as u64;
            self.write_out()?;
        }
        Ok(())
    }

    /// Stands in for bytes that are missing.
    fn zeros(&mut self, mut left: u64) -> Result<()> {
        while left > 0 {
            let length = left.min(PIECE as u64);
            self.bytes(&vec![0; length as usize])?;
            left -= length;
        }
        Ok(())
    }

    /// Reads up to `most` bytes of a file; how many there were.
    fn copy_from(&mut self, file: &mut File, most: u64, checksum: &mut Checksum) -> Result<u64> {
        let start = self.held.len();
        let room = usize::try_from(most).map_or(PIECE, |most| most.min(PIECE));
        self.held.resize(start + room, 0);
        let read = loop {
            match file.read(&mut self.held[start..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = read.map_err(|error| Error::os("read", "", error))?;
        self.held.truncate(start + length);
        checksum.update(&self.held[start..]);
        self.size += length as u64;
        self.write_out()?;
        Ok(length as u64)
    }

    fn write_out(&mut self) -> Result<()> {
        if self.held.len() >= PIECE + WITHHELD {
            let length = self.held.len() - WITHHELD;
            self.out.write_all(&self.held[..length]).map_err(write_failed)?;
            self.held.drain(..length);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.out.write_all(&self.held).map_err(write_failed)?;
        self.held.clear();
        self.out.flush().map_err(write_failed)
    }
}
