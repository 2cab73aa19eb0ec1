//! The stream that the kernel sends of what differs between two snapshots: version 1, without the content of files.
//!
//! ```text
//! "btrfs-stream\0", version (u32)
//! command: length of the attributes (u32), number (u16), crc32c (u32), attributes
//! attribute: number (u16), length (u16), value
//! ```
//!
//! All numbers are little endian. The checksum is taken over the whole command with zeros in its own place, from zero and
//! without a final inversion. What isn't known, isn't whole, or stands where it doesn't belong is refused: who then walks
//! both trees errs in nothing.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use storage_core::error::{Error, Kind, OsContext, Result};

const MAGIC: &[u8] = b"btrfs-stream\0";
const VERSION: u32 = 1;
const HEADER: usize = 10;
/// The most that the attributes of one command take together: the kernel's buffer.
const LONGEST: usize = 64 * 1024;

/// One thing that was done to get from the old tree to the new one. Paths are those of the moment: between the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Something was made, removed or written at this path. The root is the empty path.
    At(PathBuf),
    /// Mode, owner, times or extended attributes are others at this path, and nothing else is: so far, the content is as it
    /// was. Who only reads a file changes one of its times.
    Attributes(PathBuf),
    /// A file got another name.
    Link { new: PathBuf, existing: PathBuf },
    /// What stood at the first path stands at the second, with all below it.
    Rename { from: PathBuf, to: PathBuf },
}

/// Numbers of attributes.
mod attribute {
    pub(super) const UUID: u16 = 1;
    pub(super) const TRANSID: u16 = 2;
    pub(super) const INO: u16 = 3;
    pub(super) const SIZE: u16 = 4;
    pub(super) const MODE: u16 = 5;
    pub(super) const UID: u16 = 6;
    pub(super) const GID: u16 = 7;
    pub(super) const RDEV: u16 = 8;
    pub(super) const CTIME: u16 = 9;
    pub(super) const MTIME: u16 = 10;
    pub(super) const ATIME: u16 = 11;
    pub(super) const XATTR_NAME: u16 = 13;
    pub(super) const XATTR_DATA: u16 = 14;
    pub(super) const PATH: u16 = 15;
    pub(super) const PATH_TO: u16 = 16;
    pub(super) const PATH_LINK: u16 = 17;
    pub(super) const FILE_OFFSET: u16 = 18;
    pub(super) const CLONE_UUID: u16 = 20;
    pub(super) const CLONE_TRANSID: u16 = 21;
}
use attribute::{
    ATIME, CLONE_TRANSID, CLONE_UUID, CTIME, FILE_OFFSET, GID, INO, MODE, MTIME, PATH, PATH_LINK, PATH_TO, RDEV, SIZE,
    TRANSID, UID, UUID, XATTR_DATA, XATTR_NAME,
};

/// The command that begins a stream, and the one that ends it.
const SNAPSHOT: u16 = 2;
const END: u16 = 21;
const RENAME: u16 = 9;
const LINK: u16 = 10;
/// Those that leave the content of a file as it is.
const OF_ATTRIBUTES: [u16; 5] = [13, 14, 18, 19, 20];

/// Which attributes a command has, in their order. Kernels of all times send those of making a file in two forms.
fn forms(command: u16) -> Option<&'static [&'static [u16]]> {
    Some(match command {
        SNAPSHOT => &[&[PATH, UUID, TRANSID, CLONE_UUID, CLONE_TRANSID]],
        // A file, a directory.
        3 | 4 => &[&[PATH, INO], &[PATH]],
        // A device, a fifo, a socket.
        5..=7 => &[&[PATH, INO, RDEV, MODE], &[PATH, INO], &[PATH]],
        // A symbolic link.
        8 => &[&[PATH, INO, PATH_LINK], &[PATH, PATH_LINK]],
        RENAME => &[&[PATH, PATH_TO]],
        LINK => &[&[PATH, PATH_LINK]],
        // A name, a directory that is no more.
        11 | 12 => &[&[PATH]],
        // An extended attribute with a value, without.
        13 => &[&[PATH, XATTR_NAME, XATTR_DATA]],
        14 => &[&[PATH, XATTR_NAME]],
        // Size, mode, owners, times.
        17 => &[&[PATH, SIZE]],
        18 => &[&[PATH, MODE]],
        19 => &[&[PATH, UID, GID]],
        20 => &[&[PATH, ATIME, MTIME, CTIME]],
        // Other content.
        22 => &[&[PATH, FILE_OFFSET, SIZE]],
        END => &[&[]],
        _ => return None,
    })
}

/// How long a value may be.
fn fits(attribute: u16, length: usize) -> bool {
    match attribute {
        UUID | CLONE_UUID => length == 16,
        TRANSID | CLONE_TRANSID | INO | SIZE | MODE | UID | GID | RDEV | FILE_OFFSET => length == 8,
        CTIME | MTIME | ATIME => length == 12,
        XATTR_NAME => (1..=255).contains(&length),
        PATH | PATH_TO | PATH_LINK => length <= libc::PATH_MAX as usize,
        XATTR_DATA => true,
        _ => false,
    }
}

/// Reads a stream.
#[derive(Debug)]
pub(crate) struct Stream<R> {
    input: R,
    body: Vec<u8>,
    begun: bool,
}

impl<R: Read> Stream<R> {
    /// Reads the head of a stream.
    pub(crate) fn new(mut input: R) -> Result<Self> {
        let mut head = [0; MAGIC.len() + 4];
        fill(&mut input, &mut head)?;
        let (magic, version) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(wrong("it doesn't begin as one"));
        }
        if version != VERSION.to_le_bytes() {
            return Err(wrong("its version is not 1"));
        }
        Ok(Stream { input, body: Vec::new(), begun: false })
    }

    /// The next command; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Command>> {
        loop {
            let number = self.read_command()?;
            let values = split(number, &self.body)?;
            match (number, self.begun) {
                (SNAPSHOT, false) => self.begun = true,
                (END, true) => return Ok(None),
                (SNAPSHOT | END, _) | (_, false) => return Err(wrong(format!("command {number} is out of place"))),
                (RENAME, true) => return Ok(Some(Command::Rename { from: path(values[0])?, to: path(values[1])? })),
                (LINK, true) => return Ok(Some(Command::Link { new: path(values[0])?, existing: path(values[1])? })),
                (number, true) if OF_ATTRIBUTES.contains(&number) => {
                    return Ok(Some(Command::Attributes(path(values[0])?)));
                }
                (_, true) => return Ok(Some(Command::At(path(values[0])?))),
            }
        }
    }

    fn read_command(&mut self) -> Result<u16> {
        let mut head = [0; HEADER];
        fill(&mut self.input, &mut head)?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length > LONGEST {
            return Err(wrong("a command is too long"));
        }
        self.body.resize(length, 0);
        fill(&mut self.input, &mut self.body)?;
        let stated = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
        head[6..].fill(0);
        if checksum(&head, &self.body) != stated {
            return Err(wrong("a checksum is wrong"));
        }
        Ok(u16::from_le_bytes([head[4], head[5]]))
    }
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, 0);
    digest.update(head);
    digest.update(body);
    !(digest.finalize() as u32)
}

/// The values of a command's attributes.
fn split(command: u16, body: &[u8]) -> Result<Vec<&[u8]>> {
    let forms = forms(command).ok_or_else(|| wrong(format!("command {command} is not known")))?;
    let (mut numbers, mut values) = (Vec::new(), Vec::new());
    let mut rest = body;
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let [n0, n1, l0, l1] = *head;
        let (number, length) = (u16::from_le_bytes([n0, n1]), usize::from(u16::from_le_bytes([l0, l1])));
        let Some((value, tail)) = tail.split_at_checked(length).filter(|_| fits(number, length)) else {
            return Err(wrong(format!("attribute {number} of command {command} has a wrong length")));
        };
        numbers.push(number);
        values.push(value);
        rest = tail;
    }
    if !rest.is_empty() || !forms.contains(&numbers.as_slice()) {
        return Err(wrong(format!("command {command} has attributes {numbers:?}")));
    }
    Ok(values)
}

/// A path in the tree: relative, of plain names.
fn path(bytes: &[u8]) -> Result<PathBuf> {
    let plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0) && name.len() <= 255;
    if bytes.is_empty() || bytes.split(|byte| *byte == b'/').all(plain) {
        return Ok(Path::new(OsStr::from_bytes(bytes)).to_path_buf());
    }
    Err(wrong("a path is none"))
}

fn fill(input: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => wrong("it ends too early"),
        _ => Err::<(), _>(error).os("read", "the send stream").expect_err("it is one"),
    })
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, "read send stream").detail(why)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
