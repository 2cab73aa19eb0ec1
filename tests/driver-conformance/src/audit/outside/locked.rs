//! What is locked, by `/proc/locks` and `/proc/PID/fdinfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{long, name};
use crate::audit::judge::Ledger;
use crate::audit::rule::Rule;

/// Lock files with how long each was seen to be held, without a pause between two looks.
pub(super) struct Locked {
    files: Vec<PathBuf>,
    since: BTreeMap<PathBuf, Instant>,
    longest: BTreeMap<PathBuf, (Duration, String)>,
    times: BTreeMap<PathBuf, u64>,
}

impl Locked {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let locks = files.iter().filter(|path| path.extension().is_some_and(|end| end == "lock"));
        Locked {
            files: locks.cloned().collect(),
            since: BTreeMap::new(),
            longest: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// One look.
    pub(super) fn look(&mut self) {
        let table = fs::read_to_string("/proc/locks").unwrap_or_default();
        let now = Instant::now();
        for file in self.files.clone() {
            let Ok(metadata) = fs::metadata(&file) else { continue };
            let Some(line) = table.lines().find(|line| is_exclusive_on(line, metadata.ino())) else {
                self.since.remove(&file);
                continue;
            };
            *self.times.entry(file.clone()).or_default() += 1;
            let since = *self.since.entry(file.clone()).or_insert(now);
            let held = now - since;
            if self.longest.get(&file).is_none_or(|(longest, _)| held > *longest) {
                self.longest.insert(file, (held, holder(line, metadata.ino())));
            }
        }
    }

    /// What was seen.
    pub(super) fn tell(self, ledger: &mut Ledger) {
        for file in &self.files {
            let entry = ledger.checked(&name(file), Rule::R6);
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

/// Whether a line of `/proc/locks` tells of a lock for writing on that inode. Waiting ones don't count.
fn is_exclusive_on(line: &str, inode: u64) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, kind, _, mode, _, file, ..] = words.as_slice() else { return false };
    let of_file = file.rsplit(':').next().and_then(|number| number.parse().ok()) == Some(inode);
    matches!(*kind, "POSIX" | "OFDLCK") && *mode == "WRITE" && of_file
}

/// Who holds the lock: the process that the kernel names, or whose descriptors show it.
fn holder(line: &str, inode: u64) -> String {
    let pid = line.split_ascii_whitespace().nth(4).and_then(|pid| pid.parse::<i64>().ok()).filter(|pid| *pid > 0);
    let found = pid.map_or_else(|| by_descriptors(inode), |pid| BTreeSet::from([pid]));
    let words: Vec<String> = found.iter().map(|pid| format!("process {pid} ({})", command(*pid))).collect();
    if words.is_empty() { "unknown: other pid namespace or user".to_owned() } else { words.join(", ") }
}

fn command(pid: i64) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn by_descriptors(inode: u64) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else { continue };
        let infos = fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten();
        let shows = |text: String| {
            text.lines().any(|line| line.strip_prefix("lock:\t").is_some_and(|line| is_exclusive_on(line, inode)))
        };
        if infos.filter_map(|info| fs::read_to_string(info.path()).ok()).any(shows) {
            found.insert(pid);
        }
    }
    found
}

/// Whether anybody has a lock on the file, shared or exclusive.
pub(super) fn is_locked(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let end = format!(":{}", metadata.ino());
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(1).is_some_and(|kind| matches!(*kind, "POSIX" | "OFDLCK"))
            && words.iter().any(|word| word.ends_with(&end))
    })
}
