//! Who holds a lock, as far as procfs shows.
//!
//! A holder of a POSIX lock (the reference) is named by the kernel when it is asked about the conflict. A holder of an OFD
//! lock (Lamina) isn't; but `/proc/PID/fdinfo/FD` lists the locks of a description, with the inode. Processes of other pid
//! namespaces and of other users stay unknown.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Mode;
use crate::fs::{Disk, Files};
use crate::sys::ofd;

/// Files whose locks' holders may be known.
pub trait LockFiles: Files {
    /// The holders that keep `file` from being locked in `wanted`, as far as can be seen.
    fn holders(&self, file: &Self::File, wanted: Mode) -> Vec<Holder>;
}

impl LockFiles for Disk {
    fn holders(&self, file: &File, wanted: Mode) -> Vec<Holder> {
        holders(file, wanted)
    }
}

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process id, where it can be seen from here.
    pub pid: Option<u32>,
    /// The command line, where it can be read.
    pub command: Option<String>,
    /// How it holds the lock.
    pub mode: Mode,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.command) {
            (Some(pid), Some(command)) => write!(f, "process {pid} ({command}), {}", self.mode.name()),
            (Some(pid), None) => write!(f, "process {pid}, {}", self.mode.name()),
            (None, _) => write!(f, "unknown: other pid namespace or user, {}", self.mode.name()),
        }
    }
}

/// The holders that keep `file` from being locked in `wanted`.
fn holders(file: &File, wanted: Mode) -> Vec<Holder> {
    let Ok(Some(conflict)) = ofd::conflict(file, wanted) else { return Vec::new() };
    if let Some(pid) = conflict.pid {
        return vec![Holder { pid: Some(pid), command: command_of(pid), mode: conflict.mode }];
    }
    let found = file.metadata().map(|metadata| description_holders(metadata.ino())).unwrap_or_default();
    if found.is_empty() { vec![Holder { pid: None, command: None, mode: conflict.mode }] } else { found }
}

/// The holders in words, for an error.
pub(super) fn in_words(holders: &[Holder]) -> String {
    let all: Vec<_> = holders.iter().map(ToString::to_string).collect();
    if all.is_empty() { "nobody now".to_owned() } else { all.join("; ") }
}

fn description_holders(inode: u64) -> Vec<Holder> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fdinfo")) else { continue };
        let mode = descriptors
            .flatten()
            .filter_map(|descriptor| std::fs::read_to_string(descriptor.path()).ok())
            .find_map(|info| lock_in(&info, inode));
        if let Some(mode) = mode {
            found.push(Holder { pid: Some(pid), command: command_of(pid), mode });
        }
    }
    found
}

/// The mode of an OFD lock on `inode` in the text of a `fdinfo` file.
fn lock_in(info: &str, inode: u64) -> Option<Mode> {
    info.lines().filter(|line| line.starts_with("lock:") && line.contains(" OFDLCK ")).find_map(|line| {
        let mut words = line.split_whitespace();
        let mode = if words.any(|word| word == "WRITE") { Mode::Exclusive } else { Mode::Shared };
        let file = line.split_whitespace().find(|word| word.matches(':').count() == 2)?;
        (file.rsplit(':').next()?.parse() == Ok(inode)).then_some(mode)
    })
}

fn command_of(pid: u32) -> Option<String> {
    let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
    let words: Vec<_> =
        line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ofd_lock_is_found_in_fdinfo_by_inode() {
        let info = "pos:\t0\nflags:\t02100002\nlock:\t1: OFDLCK  ADVISORY  WRITE -1 fd:00:1234 0 EOF\n";
        assert_eq!(lock_in(info, 1234), Some(Mode::Exclusive));
        assert_eq!(lock_in(info, 234), None, "another inode's lock was taken for this one's");
        assert_eq!(lock_in("lock:\t1: POSIX  ADVISORY  READ 77 fd:00:1234 0 EOF\n", 1234), None);
    }
}
