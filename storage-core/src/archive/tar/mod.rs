//! Reading tar archives, entry by entry, with the exact bytes that stand between the files' data.
//!
//! Understood are V7, ustar, star, GNU (long names, base-256 numbers, sparse files) and PAX (records per entry, sparse
//! files 0.0, 0.1 and 1.0). Global PAX records are shown as an entry and otherwise ignored, as the reference does.

mod entry;
mod header;
mod pax;
mod reader;
mod sparse;

pub use entry::{Entry, EntryKind, Extent, Time};
pub(crate) use header::checksum;
pub use header::{BLOCK, looks_like_header};
pub use reader::Reader;

use crate::error::{Error, Kind};

/// An archive that can't be understood.
pub(crate) fn bad(detail: impl Into<String>) -> Error {
    Error::new(Kind::BadArchive, "read archive").detail(detail)
}

/// Bytes of a name, for messages.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
