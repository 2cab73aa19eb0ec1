//! What was extracted under which name, so that what a later entry destroys is kept.
//!
//! A line of type 1 promises that the file of that name has that content. When a later entry of the same archive
//! replaces or removes the file, the promise is broken; so its content is copied aside just before, and the line is
//! replaced by raw bytes once all is read ([`super::rewrite()`]). The table costs less than 64 bytes an entry: it
//! holds keyed hashes of names, whose key is random.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use crate::archive::names;
use crate::archive::tar_split::spool::unnamed_file;
use crate::archive::tar_split::{MOST_RAW, writer};
use crate::archive::walk;
use crate::error::{OsContext, Result};

/// The position of an entry that has no line of its own.
pub(super) const UNNAMED: u32 = 0x7fff_ffff;
/// Marks the position of a file whose content the line promises.
const DATA: u32 = 0x8000_0000;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// It goes: a later line has the same name.
    Drop,
    /// It becomes raw bytes: those that were copied aside here.
    Raw { offset: u64, size: u64 },
}

/// The names seen so far, and what must be mended in the end.
pub(crate) struct Ledger {
    keys: RandomState,
    seen: HashMap<u64, u32>,
    fixes: HashMap<u32, Fix>,
    saved: Option<(File, u64)>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Ledger { keys: RandomState::new(), seen: HashMap::new(), fixes: HashMap::new(), saved: None }
    }

    /// Whether an entry of this archive made `path`.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.seen.contains_key(&self.keys.hash_one(path))
    }

    /// Notes that `path` was made, without a line of its own.
    pub(crate) fn made(&mut self, path: &[u8]) {
        self.seen.entry(self.keys.hash_one(path)).or_insert(UNNAMED);
    }

    /// Whether an entry without data may have a line: not when an earlier entry of that name has one.
    pub(crate) fn may_name(&self, path: &[u8]) -> bool {
        self.seen.get(&self.keys.hash_one(path)).is_none_or(|position| *position == UNNAMED)
    }

    /// Notes the line of an entry.
    pub(crate) fn named(&mut self, path: &[u8], position: u32, has_data: bool) {
        let value = if has_data { position | DATA } else { position };
        if let Some(earlier) = self.seen.insert(self.keys.hash_one(path), value)
            && earlier != UNNAMED
            && earlier & DATA == 0
        {
            self.fixes.insert(earlier, Fix::Drop);
        }
    }

    /// Copies the content of `path` aside if a line promises it; to be called before the file goes. `root` is where an
    /// unnamed file can be made.
    pub(crate) fn save(&mut self, path: &[u8], dir: BorrowedFd<'_>, name: &[u8], root: BorrowedFd<'_>) -> Result<()> {
        let key = self.keys.hash_one(path);
        let Some(position) = self.seen.get(&key).copied().filter(|position| position & DATA != 0) else {
            return Ok(());
        };
        let mut file = File::from(walk::open_file(dir, names::os(name)).os("openat", names::os(path))?);
        let (saved, end) = match &mut self.saved {
            Some(saved) => saved,
            none => none.insert((unnamed_file(root)?, 0)),
        };
        let size = copy(&mut file, saved).os("copy", names::os(path))?;
        self.fixes.insert(position & !DATA, Fix::Raw { offset: *end, size });
        *end += size;
        if *end > MOST_RAW {
            return Err(writer::too_much());
        }
        self.seen.remove(&key);
        Ok(())
    }

    /// What must be mended, and the file that holds what was copied aside; none when nothing was destroyed.
    pub(crate) fn into_fixes(self) -> Option<(HashMap<u32, Fix>, Option<File>)> {
        (!self.fixes.is_empty()).then(|| (self.fixes, self.saved.map(|(file, _)| file)))
    }
}

fn copy(from: &mut File, to: &mut File) -> std::io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(length) => {
                to.write_all(&buffer[..length])?;
                size += length as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
