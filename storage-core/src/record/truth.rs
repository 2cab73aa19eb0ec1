//! A look at what is true: mounts, counts, records and locks, from the kernel and from disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::peek;
use super::stirs::Stirs;
use super::{LockMode, LockSeen, Mounted, Places, Truth, event, holds, text};

/// More than the counts of any store take.
const MOST_COUNTS: u64 = 64 << 20;
/// More than a last-writer record takes.
const MOST_RECORD: u64 = 64;

/// Looks. What can't be read is left out.
pub(super) fn look(places: &Places, stirs: &Stirs) -> Truth {
    Truth {
        since: event::now(),
        counts: peek::text(&places.counts, MOST_COUNTS),
        // Asked before the table is read: what comes between is in the table, and told by the next look.
        stirs: stirs.count(),
        mounts: mounts(places),
        files: files(places),
        locks: locks(places),
        // Last, so that looking counts as little as may be; of a look after a call it is read first (see `call`).
        moved: moved(),
    }
}

/// The mounts at and below the roots.
fn mounts(places: &Places) -> Vec<Mounted> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let roots: Vec<String> = places.roots.iter().map(|root| escaped(root)).collect();
    let below = |point: &str| {
        roots.iter().any(|root| point.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('/')))
    };
    table
        .lines()
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let mut fields = front.split(' ');
            let (id, point) = (fields.next()?.parse().ok()?, fields.nth(3)?);
            let kind = back.split(' ').next().unwrap_or_default().to_owned();
            below(point).then(|| Mounted { id, point: point.to_owned(), kind })
        })
        .collect()
}

/// A path as the kernel writes it in its table.
fn escaped(path: &Path) -> String {
    let mut plain = String::new();
    for letter in text(path).chars() {
        match letter {
            ' ' => plain.push_str("\\040"),
            '\t' => plain.push_str("\\011"),
            '\n' => plain.push_str("\\012"),
            '\\' => plain.push_str("\\134"),
            other => plain.push(other),
        }
    }
    plain
}

/// For each watched file something that changes with it: identity, size and time of records, content of lock files.
fn files(places: &Places) -> BTreeMap<String, String> {
    let stamp = |path: &Path| {
        if path.extension().is_some_and(|end| end == "lock") {
            let record = peek::beginning(path, MOST_RECORD)?;
            return Some(record.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}")));
        }
        let metadata = fs::metadata(path).ok()?;
        Some(format!("{}:{}:{}.{}", metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    };
    places.files.iter().filter_map(|path| Some((text(path), stamp(path)?))).collect()
}

/// The locks of this process on files below the roots.
fn locks(places: &Places) -> Vec<LockSeen> {
    let mut seen = Vec::new();
    let holds = holds::known();
    for entry in fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten() {
        let Some(descriptor) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(info) = fs::read_to_string(entry.path()) else { continue };
        let found: Vec<_> = info.lines().filter_map(lock_of).collect();
        if found.is_empty() {
            continue;
        }
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{descriptor}")) else { continue };
        if !places.covers(&path) {
            continue;
        }
        let known = holds.of_descriptor(descriptor);
        let made_by = holds::of_offset(&info);
        seen.extend(found.into_iter().map(|(kind, mode)| LockSeen {
            path: text(&path),
            mode,
            kind,
            hold: known.map(|(hold, _)| hold),
            made_by,
            thread: known.map(|(_, thread)| thread),
        }));
    }
    seen
}

/// The kind and mode in a line of `fdinfo` about a lock. `flock` locks exclude none of the store's and are left out.
fn lock_of(line: &str) -> Option<(String, LockMode)> {
    let mut words = line.strip_prefix("lock:")?.split_ascii_whitespace().skip(1);
    let kind = words.next().filter(|kind| matches!(*kind, "OFDLCK" | "POSIX"))?.to_owned();
    let mode = if words.nth(1) == Some("WRITE") { LockMode::Exclusive } else { LockMode::Shared };
    Some((kind, mode))
}

/// How many bytes this thread has read and written so far.
pub(super) fn moved() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(value("rchar:")? + value("wchar:")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_records_are_told_from_flocks() {
        let ofd = lock_of("lock:\t1: OFDLCK  ADVISORY  WRITE -1 fd:00:1234 0 EOF");
        assert_eq!(ofd, Some(("OFDLCK".to_owned(), LockMode::Exclusive)));
        let posix = lock_of("lock:\t2: POSIX  ADVISORY  READ 77 fd:00:1234 0 EOF");
        assert_eq!(posix, Some(("POSIX".to_owned(), LockMode::Shared)));
        assert_eq!(lock_of("lock:\t3: FLOCK  ADVISORY  WRITE 77 fd:00:1234 0 EOF"), None);
    }

    #[test]
    fn a_root_with_a_space_is_found_as_the_kernel_writes_it() {
        assert_eq!(escaped(Path::new("/a b\\c")), "/a\\040b\\134c");
    }
}
