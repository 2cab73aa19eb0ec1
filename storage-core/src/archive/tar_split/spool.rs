//! The lines on their way to an unnamed file, compressed on a thread of their own.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::archive::compression::write_failed;
use crate::error::{Error, OsContext, Result};

/// How hard the lines are compressed: they are mostly zeros, and the fastest level serves.
const LEVEL: u32 = 1;

/// A file without a name on the filesystem of `root`, or on that of `/var/tmp` or `/tmp` where it can't have one.
pub(super) fn unnamed_file(root: BorrowedFd<'_>) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let places = ["/var/tmp", "/tmp"].into_iter();
    let mut result = rustix::fs::openat(root, ".", flags, mode);
    for place in places {
        match result {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
                result = rustix::fs::open(place, flags, mode);
            }
            _ => break,
        }
    }
    result.map(File::from).os("openat(O_TMPFILE)", Path::new("."))
}

/// The compressing end.
pub(crate) struct Spool {
    encoder: GzEncoder<BufWriter<File>>,
}

impl Spool {
    pub(crate) fn new(root: BorrowedFd<'_>) -> Result<Self> {
        let file = BufWriter::with_capacity(128 * 1024, unnamed_file(root)?);
        Ok(Spool { encoder: compress(file) })
    }

    /// Compresses what comes until the sender is gone, and gives back the file, rewound.
    pub(crate) fn run(mut self, full: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> Result<File> {
        while let Ok(mut lines) = full.recv() {
            self.encoder.write_all(&lines).map_err(write_failed)?;
            lines.clear();
            // The writer may be done and need no buffer any more.
            let _ = empty.send(lines);
        }
        let buffered = self.encoder.finish().map_err(write_failed)?;
        let mut file = buffered.into_inner().map_err(|error| write_failed(error.into_error()))?;
        file.rewind().map_err(write_failed)?;
        Ok(file)
    }
}

/// A compressor with the level of tar-split files.
pub(super) fn compress<W: Write>(output: W) -> GzEncoder<W> {
    GzEncoder::new(output, flate2::Compression::new(LEVEL))
}

/// The sending end.
pub(crate) struct Lines {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl Lines {
    pub(crate) fn new(full: SyncSender<Vec<u8>>, empty: Receiver<Vec<u8>>) -> Self {
        Lines { full, empty }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        // The other end is gone only when it failed; its own error is the one to tell.
        self.full.send(buffer).map_err(|_| io::Error::other(stopped()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a writer whose compressor ended; the caller replaces it by the compressor's own.
fn stopped() -> Error {
    Error::new(crate::error::Kind::Io, "write tar-split").detail("the compressing thread stopped")
}
