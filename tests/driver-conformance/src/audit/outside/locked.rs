//! What is locked, by `/proc/locks` and `/proc/PID/fdinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage_core::mount::filesystem_type;

use super::{long, name};
use crate::audit::judge::Ledger;
use crate::audit::rule::Rule;

/// Lock files with how long each was seen to be held, without a pause between two looks.
pub(super) struct Locked {
    files: Vec<PathBuf>,
    held: BTreeMap<PathBuf, Held>,
    longest: BTreeMap<PathBuf, (Duration, String)>,
    times: BTreeMap<PathBuf, u64>,
}

/// A hold that goes on.
struct Held {
    since: Instant,
    /// The process that the kernel names, if it does.
    pid: i64,
    /// Who, in words: found once, when the hold is first seen, for that takes a look at every descriptor of the machine.
    holder: String,
}

impl Locked {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let locks = files.iter().filter(|path| path.extension().is_some_and(|end| end == "lock"));
        Locked {
            files: locks.cloned().collect(),
            held: BTreeMap::new(),
            longest: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// One look.
    pub(super) fn look(&mut self) {
        let table = fs::read_to_string("/proc/locks").unwrap_or_default();
        let now = Instant::now();
        for file in &self.files {
            let found = Inode::of(file).and_then(|inode| {
                let line = table.lines().filter_map(Line::parse).find(|line| line.exclusive && line.is_on(&inode))?;
                Some((inode, line))
            });
            let Some((inode, line)) = found else {
                self.held.remove(file);
                continue;
            };
            *self.times.entry(file.clone()).or_default() += 1;
            if self.held.get(file).is_none_or(|held| held.pid != line.pid) {
                let (pid, holder) = (line.pid, holder(&line, &inode));
                self.held.insert(file.clone(), Held { since: now, pid, holder });
            }
            let held = &self.held[file];
            let length = now - held.since;
            if self.longest.get(file).is_none_or(|(longest, _)| length > *longest) {
                self.longest.insert(file.clone(), (length, held.holder.clone()));
            }
        }
    }

    /// Whether the last look found this lock file held exclusively.
    pub(super) fn is_held(&self, file: &Path) -> bool {
        self.held.contains_key(file)
    }

    /// What was seen. That tells something, and no limit is known that it could break: so R6 is not judged by it.
    pub(super) fn tell(self, ledger: &mut Ledger) {
        for file in &self.files {
            let entry = ledger.entry(&name(file), Rule::R6);
            let Some((longest, holder)) = self.longest.get(file) else {
                entry.saw("watch in which nobody was seen to hold it exclusively");
                continue;
            };
            entry.at_most("looks that found it held exclusively", self.times[file], || self.times[file].to_string());
            let words = || format!("{} by {holder}", long(*longest));
            entry.at_most("longest time between looks that found it held", longest.as_nanos() as u64, words);
        }
    }
}

/// A file as the kernel names it in tables of locks.
#[derive(Clone, Debug)]
struct Inode {
    device: (u64, u64),
    number: u64,
    /// Whether the device that the kernel means is another than `stat` tells, as that of a subvolume of btrfs is.
    any_device: bool,
}

impl Inode {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        let device = (nix::sys::stat::major(found.dev()), nix::sys::stat::minor(found.dev()));
        let any_device = filesystem_type(path).is_ok_and(|kind| kind.name() == "btrfs");
        Some(Inode { device, number: found.ino(), any_device })
    }
}

/// A lock in a line of `/proc/locks`, or in one of `fdinfo` without its first word.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    exclusive: bool,
    /// Who the kernel says it is; -1 for a lock of an open file.
    pid: i64,
    device: (u64, u64),
    number: u64,
}

impl Line {
    /// None for a line of another kind of lock, and for one about a lock that somebody waits for.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next().filter(|kind| matches!(*kind, "POSIX" | "OFDLCK"))?;
        let (mode, pid, file) = (words.nth(1)?, words.next()?, words.next()?);
        let mut parts = file.split(':');
        let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
        let device = (hex()?, hex()?);
        let number = parts.next()?.parse().ok()?;
        Some(Line { exclusive: mode == "WRITE", pid: pid.parse().ok()?, device, number })
    }

    fn is_on(&self, inode: &Inode) -> bool {
        self.number == inode.number && (inode.any_device || self.device == inode.device)
    }
}

/// Who holds the lock: the process that the kernel names, or whose descriptors show it.
fn holder(line: &Line, inode: &Inode) -> String {
    let found = if line.pid > 0 { BTreeSet::from([line.pid]) } else { by_descriptors(inode) };
    let words: Vec<String> = found.iter().map(|pid| format!("process {pid} ({})", command(*pid))).collect();
    if words.is_empty() { "unknown: gone, or of another pid namespace or user".to_owned() } else { words.join(", ") }
}

fn command(pid: i64) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn by_descriptors(inode: &Inode) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else { continue };
        let infos = fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten();
        let shows = |text: String| {
            let mut locks = text.lines().filter_map(|line| Line::parse(line.strip_prefix("lock:\t")?));
            locks.any(|line| line.exclusive && line.is_on(inode))
        };
        if infos.filter_map(|info| fs::read_to_string(info.path()).ok()).any(shows) {
            found.insert(pid);
        }
    }
    found
}

/// Whether anybody has a lock on the file, shared or exclusive.
pub(super) fn is_locked(path: &Path) -> bool {
    let Some(inode) = Inode::of(path) else { return false };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    table.lines().filter_map(Line::parse).any(|line| line.is_on(&inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_core::lockfile::{Access, LockFile, Mode, Wait};

    #[test]
    fn a_lock_is_of_a_file_by_its_device_too_and_by_the_number_alone_on_btrfs() {
        let line = Line::parse("3: OFDLCK ADVISORY  WRITE -1 fd:1a:1234 0 EOF").expect("a lock");
        assert_eq!(line, Line { exclusive: true, pid: -1, device: (0xfd, 0x1a), number: 1234 });
        let on = |device, number, any_device| line.is_on(&Inode { device, number, any_device });
        assert!(on((0xfd, 0x1a), 1234, false) && on((0, 77), 1234, true));
        assert!(!on((0xfd, 0x1b), 1234, false), "another filesystem");
        assert!(!on((0xfd, 0x1a), 1235, true), "another file");
        assert_eq!(Line::parse("3: -> OFDLCK ADVISORY  WRITE -1 fd:1a:1234 0 EOF"), None, "somebody waits");
        assert_eq!(Line::parse("3: FLOCK ADVISORY  WRITE 7 fd:1a:1234 0 EOF"), None);
    }

    #[test]
    fn a_hold_of_this_process_is_seen_with_its_holder_until_it_ends() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("layers.lock");
        let lock = LockFile::new(&path, Access::ReadWrite);
        let mut locked = Locked::of(std::slice::from_ref(&path));
        let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        locked.look();
        assert!(locked.is_held(&path) && is_locked(&path));
        assert!(locked.held[&path].holder.contains(&format!("process {} ", std::process::id())));
        drop(held);
        locked.look();
        assert!(!locked.is_held(&path) && !is_locked(&path));
    }
}
