//! Asking the kernel where two snapshots may differ.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};
use rustix::pipe::{PipeFlags, pipe_with};
use storage_core::error::{OsContext, Result};
use storage_core::sys::btrfs::send_changes;
use storage_core::task::Task;

use crate::stream::{Command, Stream};

/// How far a difference at a path may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// What stands at the path.
    Entry,
    /// All below it too.
    Subtree,
}

/// What may have become of the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// It is as it was.
    Kept,
    /// It may be another, though size and time are as before.
    Doubtful,
}

/// What may be different at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) reach: Reach,
    pub(crate) content: Content,
}

impl Candidate {
    /// Whatever stands at the path, but not what is below it.
    pub(crate) const ENTRY: Self = Candidate { reach: Reach::Entry, content: Content::Doubtful };
    const ATTRIBUTES: Self = Candidate { reach: Reach::Entry, content: Content::Kept };
    const SUBTREE: Self = Candidate { reach: Reach::Subtree, content: Content::Doubtful };
}

/// Paths at which two trees may differ, with a leading `/`. What stands at other paths is the same.
pub(crate) type Candidates = BTreeMap<PathBuf, Candidate>;

/// The paths at which the read-only snapshot `new` may differ from the one of the number `old`.
///
/// Commands name what they change as it is called at that moment of the stream. A file that is called the same all the time
/// is so named by its path. For any other, the first rename of it or of a directory above it begins at a path that leads to
/// its old one, and the last ends at one that leads to its new one: what is below both ends of every rename is looked at.
pub(crate) fn candidates(new: BorrowedFd<'_>, old: u64, task: &Task) -> Result<Candidates> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).os("pipe2", "/")?;
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("send".to_owned());
        let sender = builder.spawn_scoped(scope, move || send(new, old, &writer)).os("clone(thread)", "/")?;
        // The read end is closed when this returns, which ends a sender that is not done.
        let read = collect(reader, task);
        let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (sent, read) {
            (Err(nix::errno::Errno::EPIPE), Err(read)) => Err(read),
            (sent, read) => sent.os("ioctl(BTRFS_IOC_SEND)", "/").and(read),
        }
    })
}

fn send(new: BorrowedFd<'_>, old: u64, out: &OwnedFd) -> nix::Result<()> {
    // A signal that this thread has coming and that nobody can take goes with it.
    SigSet::from(Signal::SIGPIPE).thread_block()?;
    send_changes(new, old, out.as_fd())
}

fn collect(reader: OwnedFd, task: &Task) -> Result<Candidates> {
    let mut stream = Stream::new(BufReader::with_capacity(1 << 16, File::from(reader)))?;
    let mut found = Candidates::new();
    while let Some(command) = stream.next()? {
        task.step(0, 1)?;
        match command {
            Command::At(path) => name(&mut found, &path, Candidate::ENTRY),
            Command::Attributes(path) => name(&mut found, &path, Candidate::ATTRIBUTES),
            Command::Link { new, existing } => {
                name(&mut found, &new, Candidate::ENTRY);
                name(&mut found, &existing, Candidate::ENTRY);
            }
            Command::Rename { from, to } => {
                name(&mut found, &from, Candidate::SUBTREE);
                name(&mut found, &to, Candidate::SUBTREE);
            }
        }
    }
    Ok(found)
}

/// Adds what is known of a path of the stream.
fn name(found: &mut Candidates, path: &Path, one: Candidate) {
    // The root itself is never told.
    if !path.as_os_str().is_empty() {
        add(found, Path::new("/").join(path), one);
    }
}

/// Adds what may be different at a path to what was known of it. Whether that is news.
pub(crate) fn add(found: &mut Candidates, path: PathBuf, one: Candidate) -> bool {
    match found.entry(path) {
        Entry::Vacant(place) => {
            place.insert(one);
            true
        }
        Entry::Occupied(mut known) => {
            let before = *known.get();
            let both = Candidate { reach: one.reach.max(before.reach), content: one.content.max(before.content) };
            known.insert(both) != both
        }
    }
}
