//! tar-split: what must be kept of an archive so that it can be given back bit for bit from the files on disk.
//!
//! The file is gzip over lines of JSON. A line of type 2 holds raw bytes of the archive (headers, padding, the end) in
//! base64; one of type 1 names a file whose content stands there, with its size and checksum. Lines are numbered by
//! `position`. The reference reads what is written here, and the other way round.
//!
//! No name stands in two lines of type 1, because the reference refuses that. Data that the disk can't give back (sparse
//! files, files that a later entry of the same archive replaced or removed, files reached through a link) stands as raw
//! bytes, in lines of at most 256 KiB.

mod json;
mod ledger;
mod replay;
mod rewrite;
mod spool;
mod writer;

pub(crate) use ledger::Ledger;
pub use replay::{Loss, Replayed, replay, replay_all};
pub(crate) use rewrite::rewrite;
pub(crate) use spool::{Lines, Spool};
pub(crate) use writer::{Checksum, SplitWriter};

/// The most raw bytes in one line, before base64: the reference holds a line in memory several times over.
pub(crate) const LINE: usize = 256 * 1024;

/// The most file data that is stored as raw bytes for one archive, because it is then stored twice.
pub(crate) const MOST_RAW: u64 = 4 << 30;
