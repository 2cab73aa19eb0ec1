//! The reading half of an ingest, on a thread of its own: reads, hashes, decompresses and hashes again, and hands
//! buffers of uncompressed bytes over a bounded channel. Buffers come back and are used again, so that memory stays the
//! same for any size of archive.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::compression::{self, Compression, read_failed};
use crate::archive::hash::Hasher;
use crate::archive::tar::bad;
use crate::error::{Error, Result};

/// The size of one buffer.
pub(crate) const BUFFER: usize = 256 * 1024;
/// How many of them there are.
pub(crate) const BUFFERS: usize = 8;

/// What the reading half found once all is read.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) compression: Compression,
    pub(crate) compressed: (String, u64),
    pub(crate) uncompressed: (String, u64),
}

/// Sends all of `input`, uncompressed, to `full`; buffers come from `empty`. Ends early without an error when nobody
/// receives any more.
pub(crate) fn feed(
    input: impl Read + Send,
    full: &SyncSender<Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Option<Fed> {
    match pump(input, full, empty) {
        Ok(fed) => fed,
        Err(error) => {
            // The receiver fails with it; when there is none, an earlier error is on its way to the caller.
            let _ = full.send(Err(error));
            None
        }
    }
}

fn pump(
    mut input: impl Read + Send,
    full: &SyncSender<Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Option<Fed>> {
    let head = compression::read_head(&mut input).map_err(read_failed)?;
    let compression = Compression::detect(&head);
    let mut whole = io::Cursor::new(head).chain(input);
    let mut hasher = Hasher::default();
    if compression == Compression::None {
        if !send_all(&mut whole, &mut hasher, full, empty)? {
            return Ok(None);
        }
        let both = hasher.finish();
        return Ok(Some(Fed { compression, compressed: both.clone(), uncompressed: both }));
    }
    let compressed = Arc::new(Mutex::new(Hasher::default()));
    let tee = Tee { input: whole, hasher: Arc::clone(&compressed) };
    let (_, mut decoder) = compression::decoder(tee)?;
    if !send_all(&mut decoder, &mut hasher, full, empty)? {
        return Ok(None);
    }
    drop(decoder);
    let compressed = compressed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Some(Fed { compression, compressed: compressed.finish(), uncompressed: hasher.finish() }))
}

/// Reads to the end; false when nobody receives any more.
fn send_all(
    input: &mut impl Read,
    hasher: &mut Hasher,
    full: &SyncSender<Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<bool> {
    loop {
        let Ok(mut buffer) = empty.recv() else { return Ok(false) };
        buffer.resize(BUFFER, 0);
        let mut have = 0;
        while have < BUFFER {
            match input.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(length) => have += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_failed(error)),
            }
        }
        buffer.truncate(have);
        hasher.update(&buffer);
        let last = have < BUFFER;
        if have > 0 && full.send(Ok(buffer)).is_err() {
            return Ok(false);
        }
        if last {
            return Ok(true);
        }
    }
}

/// Hashes what the decoder takes.
struct Tee<R> {
    input: R,
    hasher: Arc<Mutex<Hasher>>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..length]);
        Ok(length)
    }
}

/// The receiving end, as a reader without copies.
pub(crate) struct Fodder {
    full: Receiver<Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    used: usize,
}

impl Fodder {
    pub(crate) fn new(full: Receiver<Result<Vec<u8>>>, empty: Sender<Vec<u8>>) -> Self {
        for _ in 0..BUFFERS {
            let _ = empty.send(Vec::new());
        }
        Fodder { full, empty, current: Vec::new(), used: 0 }
    }
}

impl Read for Fodder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let length = chunk.len().min(buffer.len());
        buffer[..length].copy_from_slice(&chunk[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Fodder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.current.len() {
            match self.full.recv() {
                Ok(Ok(next)) => {
                    // The feeder may have ended already and need no buffer any more.
                    let _ = self.empty.send(std::mem::replace(&mut self.current, next));
                    self.used = 0;
                }
                Ok(Err(error)) => return Err(carry(error)),
                Err(_) => {}
            }
        }
        Ok(&self.current[self.used..])
    }

    fn consume(&mut self, length: usize) {
        self.used += length;
    }
}

/// An error of the library on its way through an interface of `std::io`.
pub(crate) fn carry(error: Error) -> io::Error {
    io::Error::other(error)
}

/// The error when the feeder ended without a result although nobody stopped it.
pub(crate) fn vanished() -> Error {
    bad("the thread that reads it ended early")
}
