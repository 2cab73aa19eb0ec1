//! R4 from outside: which of the record of the write and the records changed first.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use storage_core::record::peek;

use super::name;
use crate::audit::judge::Ledger;
use crate::audit::order::lock_name;
use crate::audit::rule::Rule;

/// More than a record of the write takes.
const MOST_RECORD: u64 = 64;
/// How long after a record of the write, and after its lock was last seen held, the records that it announces may take.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How often a look is repeated during which a record of the write changed.
const TRIES: usize = 5;

/// What identifies the versions of the files at one moment.
type Versions = BTreeMap<PathBuf, Vec<u8>>;

/// Files of records with the lock file of each, and what is known of them.
pub(super) struct Records {
    watched: Vec<(PathBuf, PathBuf)>,
    former: Option<Versions>,
    /// When the next version of a file was announced. At first nobody knows, so each is.
    announced: BTreeMap<PathBuf, Instant>,
    /// Files that changed unannounced, and how often.
    early: BTreeMap<PathBuf, u64>,
}

impl Records {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let records = files.iter().filter(|file| file.extension().is_some_and(|end| end == "json"));
        let watched: Vec<_> = records.filter_map(|file| Some((file.clone(), lock_for(file, files)?))).collect();
        let now = Instant::now();
        let announced = watched.iter().map(|(file, _)| (file.clone(), now)).collect();
        Records { watched, former: None, announced, early: BTreeMap::new() }
    }

    /// One look; `is_held` tells whether a lock file was just seen held exclusively.
    pub(super) fn look(&mut self, is_held: impl Fn(&Path) -> bool, ledger: &mut Ledger) {
        let versions = versions(&self.watched);
        self.take(versions, Instant::now(), is_held, ledger);
    }

    /// Whether something changed that may yet turn out to have been written by an older version, which says it afterwards.
    pub(super) fn is_open(&self) -> bool {
        !self.early.is_empty()
    }

    /// What stays unsaid.
    pub(super) fn tell(self, ledger: &mut Ledger) {
        for (file, times) in self.early {
            let what = format!("{} changed {times} times and the record of the write did not", name(&file));
            ledger.broken("records", Rule::R4, "unknown process", what);
        }
    }

    /// A writer says that it writes, then makes the new records beside the old, and then replaces these: a look that falls
    /// between sees the record of the write change alone, and the next one the records.
    fn take(&mut self, now: Versions, time: Instant, is_held: impl Fn(&Path) -> bool, ledger: &mut Ledger) {
        let former = self.former.take();
        for (file, lock) in &self.watched {
            if is_held(lock) {
                self.announced.entry(file.clone()).and_modify(|at| *at = time);
            }
            let Some(before) = &former else { continue };
            let said = before.get(lock) != now.get(lock);
            let changed = now.contains_key(file) && before.get(file) != now.get(file);
            let earlier = self.announced.get(file).is_some_and(|at| time.saturating_duration_since(*at) < GRACE);
            if said && self.early.remove(file).is_some() {
                ledger
                    .checked("records", Rule::R4)
                    .saw("records written before the record of the write, as older versions do");
            }
            if changed && (said || earlier) {
                ledger.checked("records", Rule::R4).saw("changes of records with their record of the write");
            } else if changed {
                *self.early.entry(file.clone()).or_default() += 1;
            }
            // What is said in the look that also sees a change may be about the next one.
            if said {
                self.announced.insert(file.clone(), time);
            } else if changed {
                self.announced.remove(file);
            }
        }
        self.former = Some(now);
    }
}

/// The lock file of a file of records: beside it, or elsewhere where the file is of a transient store.
fn lock_for(file: &Path, files: &[PathBuf]) -> Option<PathBuf> {
    let wanted = lock_name(&name(file));
    let named = || files.iter().filter(|lock| name(lock) == wanted);
    named().find(|lock| lock.parent() == file.parent()).or_else(|| named().next()).cloned()
}

/// A look during which no record of the write changed. So it shows a moment: of a right writer's steps all those up to one.
fn versions(watched: &[(PathBuf, PathBuf)]) -> Versions {
    let said = || -> Versions {
        watched.iter().filter_map(|(_, lock)| Some((lock.clone(), peek::beginning(lock, MOST_RECORD)?))).collect()
    };
    let mut before = said();
    for _ in 0..TRIES {
        let mut found: Versions = watched.iter().filter_map(|(file, _)| Some((file.clone(), stamp(file)?))).collect();
        let after = said();
        if before == after {
            found.extend(after);
            return found;
        }
        before = after;
    }
    // Records first: what is seen of them was said by then.
    let mut found: Versions = watched.iter().filter_map(|(file, _)| Some((file.clone(), stamp(file)?))).collect();
    found.extend(said());
    found
}

fn stamp(file: &Path) -> Option<Vec<u8>> {
    let found = std::fs::symlink_metadata(file).ok()?;
    Some(format!("{}:{}:{}.{}", found.ino(), found.len(), found.mtime(), found.mtime_nsec()).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "/g/vfs-layers/layers.json";
    const LOCK: &str = "/g/vfs-layers/layers.lock";

    /// What is said of looks, each the version of the record of the write and that of the records, 10 ms after the one before.
    fn unsaid(looks: &[(u8, u8)], pause: Duration) -> Option<u64> {
        let files = [PathBuf::from(JSON), PathBuf::from(LOCK)];
        let (mut records, mut ledger) = (Records::of(&files), Ledger::default());
        records.announced.clear();
        let mut time = Instant::now();
        for (lock, json) in looks {
            let versions = [(JSON, json), (LOCK, lock)].map(|(path, version)| (PathBuf::from(path), vec![*version]));
            records.take(versions.into(), time, |_| false, &mut ledger);
            time += pause;
        }
        records.early.get(Path::new(JSON)).copied()
    }

    #[test]
    fn a_look_may_fall_between_the_record_of_the_write_and_the_records() {
        let pause = Duration::from_millis(10);
        assert_eq!(unsaid(&[(0, 0), (1, 0), (1, 1)], pause), None, "a right writer");
        assert_eq!(unsaid(&[(0, 0), (1, 0), (2, 1), (2, 2)], pause), None, "one that goes on at once");
        assert_eq!(unsaid(&[(0, 0), (0, 1), (1, 1)], pause), None, "an older version");
        assert_eq!(unsaid(&[(0, 0), (0, 1)], pause), Some(1), "a writer that says nothing");
        assert_eq!(unsaid(&[(0, 0), (1, 0), (1, 1), (1, 2)], pause), Some(1), "one that says it once for two");
        assert_eq!(unsaid(&[(0, 0), (1, 1), (1, 1), (1, 2)], GRACE), Some(1), "one that says nothing much later");
    }

    #[test]
    fn volatile_records_belong_to_the_lock_of_their_level() {
        let files = ["/g/d-layers/layers.lock", "/r/d-containers/containers.lock", "/g/d-containers/containers.lock"];
        let files = files.map(PathBuf::from);
        let lock = |file: &str| lock_for(Path::new(file), &files);
        assert_eq!(lock("/g/d-layers/volatile-layers.json"), Some(files[0].clone()));
        assert_eq!(lock("/r/d-layers/volatile-layers.json"), Some(files[0].clone()), "of a transient store");
        assert_eq!(lock("/g/d-containers/volatile-containers.json"), Some(files[2].clone()));
        assert_eq!(lock("/g/d-containers/else.json"), None);
    }
}
