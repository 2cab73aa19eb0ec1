//! Compression of layer archives: told by the first bytes, undone in a stream, done anew for gzip and zstd.
//!
//! A decoder reads everything that belongs to the compressed data: all members of a gzip file, all streams of an xz or
//! bzip2 file, all frames of a zstd file with the skippable frames between and behind them (zstd:chunked). Its errors
//! carry [`Kind::BadArchive`] where the data is damaged or ends early; [`read_failed`] gives them back.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

use crate::archive::tar::looks_like_header;
use crate::error::{Error, Kind, Result};

/// The ways in which an archive can be compressed, with the numbers that the store's JSON uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None = 0,
    /// bzip2; can be read only.
    Bzip2 = 1,
    /// gzip.
    Gzip = 2,
    /// xz; can be read only.
    Xz = 3,
    /// zstd, zstd:chunked included.
    Zstd = 4,
}

/// How many bytes [`Compression::detect`] wants to see, if there are as many: one block of an archive.
pub const DETECT: usize = 512;

/// The most memory that one xz stream may ask for: four times what `xz -9` makes a reader use.
const XZ_MEMORY: u64 = 256 << 20;

impl Compression {
    const ALL: [Self; 5] = [Self::None, Self::Bzip2, Self::Gzip, Self::Xz, Self::Zstd];

    /// Tells the compression by the first bytes of the data. An archive whose first member happens to be named like a
    /// compressor's magic number is told by the checksum of its header, when all of [`DETECT`] bytes are given.
    pub fn detect(head: &[u8]) -> Self {
        let found = if head.starts_with(b"BZh") {
            Self::Bzip2
        } else if head.starts_with(&[0x1f, 0x8b, 0x08]) {
            Self::Gzip
        } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Self::Xz
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable(head) {
            Self::Zstd
        } else {
            Self::None
        };
        if found != Self::None && looks_like_header(head) { Self::None } else { found }
    }

    /// The number that stands in JSON files.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// The compression with this number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.code() == code)
    }

    /// The name that people write.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The compression with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A zstd skippable frame: one of sixteen magic numbers.
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Reads up to [`DETECT`] bytes without waiting for more than the data holds.
pub(crate) fn read_head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(DETECT);
    input.take(DETECT as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Undoes whatever compression the data has. Reading fails with an error that holds a [`Kind::BadArchive`] when the data
/// is damaged or ends early (see [`read_failed`]).
pub fn decoder<'a>(mut input: impl Read + Send + 'a) -> Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let head = read_head(&mut input).map_err(read_failed)?;
    let compression = Compression::detect(&head);
    let whole = io::Cursor::new(head).chain(input);
    if compression == Compression::None {
        return Ok((compression, Box::new(whole)));
    }
    let whole = BufReader::with_capacity(128 * 1024, whole);
    let inner = undo(compression, whole)?;
    Ok((compression, Box::new(Decoder { compression, inner })))
}

fn undo<'a>(compression: Compression, input: impl BufRead + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(read_failed)?),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                .map_err(|source| Error::new(Kind::BadArchive, "start xz decoder").because(source))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
    })
}

/// Turns the errors of the decoders into the library's.
struct Decoder<'a> {
    compression: Compression,
    inner: Box<dyn Read + Send + 'a>,
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let ours = is_ours(&error);
            if ours || error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let what = match error.kind() {
                io::ErrorKind::UnexpectedEof => "ends early",
                _ => "is damaged",
            };
            let detail = format!("the {} data {what}: {error}", self.compression);
            io::Error::new(error.kind(), Error::new(Kind::BadArchive, "decompress archive").detail(detail))
        })
    }
}

/// Whether an error of `std::io` carries one of the library.
fn is_ours(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>)
}

/// The library's error behind a failed read of an archive: the one it carries, or one made of the system's.
pub fn read_failed(error: io::Error) -> Error {
    if is_ours(&error) {
        let inner = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
        return inner.map_or_else(|| Error::new(Kind::Io, "read archive"), |inner| *inner);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::new(Kind::BadArchive, "read archive").detail("it ends early"),
        _ => Error::new(Kind::Io, "read archive").because(error),
    }
}

/// The library's error behind a failed write of an archive: the one it carries, or one made of the system's.
pub fn write_failed(error: io::Error) -> Error {
    if is_ours(&error) {
        return read_failed(error);
    }
    let kind = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Kind::NoSpace,
        _ => Kind::Io,
    };
    Error::new(kind, "write archive").because(error)
}

/// Compresses what is written to it. Without [`Encoder::finish`] the output has no valid end.
pub struct Encoder<W: Write> {
    inner: Inner<W>,
}

enum Inner<W: Write> {
    Plain(W),
    Gzip(Box<flate2::write::GzEncoder<W>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

impl<W: Write> Encoder<W> {
    /// Starts compressing into `output`. Fails with [`Kind::NotSupported`] for bzip2 and xz, which can be read only.
    pub fn new(output: W, compression: Compression) -> Result<Self> {
        let inner = match compression {
            Compression::None => Inner::Plain(output),
            // The level of zlib's default; the header holds no time, so that equal input gives equal output.
            Compression::Gzip => {
                Inner::Gzip(Box::new(flate2::write::GzEncoder::new(output, flate2::Compression::new(6))))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, 3).map_err(write_failed)?;
                encoder.include_checksum(true).map_err(write_failed)?;
                Inner::Zstd(Box::new(encoder))
            }
            Compression::Bzip2 | Compression::Xz => {
                return Err(Error::new(Kind::NotSupported, "compress archive")
                    .detail(format!("{compression} can be read but not written"))
                    .remedy("use gzip, zstd or none"));
            }
        };
        Ok(Encoder { inner })
    }

    /// Writes the end of the compressed data and gives the output back.
    pub fn finish(self) -> Result<W> {
        match self.inner {
            Inner::Plain(output) => Ok(output),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
        .map_err(write_failed)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(output) => output.write(bytes),
            Inner::Gzip(encoder) => encoder.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(output) => output.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Zstd(encoder) => encoder.flush(),
        }
    }
}
