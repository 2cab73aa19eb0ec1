//! The members of a tar archive, found in place: the archive is read once from header to header, without the data.
//!
//! Of several members with one name the last counts, as when the archive is extracted. Links are followed to other
//! members, never to anything else.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use storage_core::archive::tar::{BLOCK, Entry, EntryKind, Reader};
use storage_core::{Error, Kind, Result, Task};

use super::bad;
use super::files::{Piece, inside};

/// The most members that an archive may have.
const MOST_MEMBERS: usize = 100_000;
/// Members with longer names are none of an image's.
const LONGEST_NAME: usize = 4096;
/// The most links that are followed for one file.
const MOST_LINKS: usize = 8;
/// How much is read at a time from header to header.
const READ_AHEAD: usize = 4096;

/// An archive whose members are known.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Where a link leads, from the top of the archive.
    Link(String),
    /// Why it can't be read.
    Unusable(&'static str),
    /// It leads outside.
    Escape,
}

impl Archive {
    /// Finds the members of the archive in `file`, which isn't compressed.
    pub(super) fn index(file: File, task: &Task) -> Result<Self> {
        let size = file.metadata().map_err(|source| Error::os("fstat", "archive", source))?.len();
        let file = Arc::new(file);
        let mut archive = Archive { file, members: HashMap::new() };
        let mut at = 0;
        while at < size {
            task.step(0, 1)?;
            let rest = Piece::new(Arc::clone(&archive.file), at, size - at, "archive");
            let mut reader = Reader::new(BufReader::with_capacity(READ_AHEAD, rest.reader()));
            let Some(entry) = reader.next_entry()? else { break };
            // What was read besides data is the entry's headers.
            let offset = at + reader.raw().len() as u64;
            if entry.stored > size.saturating_sub(offset) {
                return Err(bad(format!("it ends early, in the data of {:?}", String::from_utf8_lossy(&entry.name))));
            }
            at = offset + entry.stored.next_multiple_of(BLOCK as u64);
            archive.add(&entry, offset)?;
        }
        Ok(archive)
    }

    fn add(&mut self, entry: &Entry, offset: u64) -> Result<()> {
        // A name that leads outside, or that is no text, is nothing that anybody asks for.
        let Some(name) = text(&entry.name).and_then(|name| inside("", name.trim_start_matches('/')).ok()) else {
            return Ok(());
        };
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let member = match entry.kind {
            EntryKind::Regular if entry.sparse.is_some() => Member::Unusable("it is a sparse file"),
            EntryKind::Regular => Member::File { offset, size: entry.size },
            EntryKind::Symlink => link(folder, &entry.link),
            EntryKind::HardLink => link("", &entry.link),
            EntryKind::Directory | EntryKind::Global => return Ok(()),
            EntryKind::Char | EntryKind::Block | EntryKind::Fifo => Member::Unusable("it is not a regular file"),
        };
        self.members.insert(name, member);
        if self.members.len() > MOST_MEMBERS {
            return Err(Error::new(Kind::TooLarge, "read image")
                .detail(format!("the archive has more than {MOST_MEMBERS} members")));
        }
        Ok(())
    }

    pub(super) fn find(&self, path: &str) -> Result<Option<Piece>> {
        let mut name = path;
        for _ in 0..=MOST_LINKS {
            match self.members.get(name) {
                None => return Ok(None),
                Some(Member::File { offset, size }) => {
                    return Ok(Some(Piece::new(Arc::clone(&self.file), *offset, *size, path)));
                }
                Some(Member::Link(target)) => name = target,
                Some(Member::Unusable(why)) => return Err(bad(*why).at(path)),
                Some(Member::Escape) => {
                    return Err(Error::new(Kind::Escape, "read image")
                        .at(path)
                        .detail("a link in the archive leads out of it"));
                }
            }
        }
        Err(bad("it is a link to a link, and so on").at(path))
    }
}

fn text(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST_NAME)
}

fn link(folder: &str, target: &[u8]) -> Member {
    text(target).and_then(|target| inside(folder, target).ok()).map_or(Member::Escape, Member::Link)
}
