//! Records as whoever takes no lock sees them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::lock_api::RwLock;

use super::records::{Broken, Loaded, RecordFile, Table, all_current};
use super::world::World;
use crate::error::Result;

/// Files of records, and what was read from them last.
pub struct Watched<T: Table, W: World> {
    pub(super) world: W,
    pub(super) files: Vec<RecordFile>,
    /// What was loaded or saved last.
    latest: RwLock<W::Raw, Option<Arc<Loaded<T, W>>>>,
    /// What could not be understood at the last look.
    broken: RwLock<W::Raw, Option<Broken<W>>>,
}

/// How often files that keep changing are looked at before what they hold is taken for damage, and the pause between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

impl<T: Table, W: World> Watched<T, W> {
    /// Watches `files`.
    pub fn new(world: W, files: Vec<RecordFile>) -> Self {
        Watched { world, files, latest: RwLock::new(None), broken: RwLock::new(None) }
    }

    /// The records as they were at one moment not before this call. Takes no lock, makes no file, and needs no permission
    /// but to read. Damage is told without another look while the files are those in which it was found.
    pub fn snapshot(&self) -> Result<Arc<T>> {
        if let Some(broken) = &*self.broken.read()
            && all_current(&self.world, &self.files, &broken.seen)?
        {
            return Err(broken.error.again());
        }
        for _ in 0..TRIES {
            if let Some(table) = self.try_snapshot()? {
                return Ok(table);
            }
            self.world.pause(PAUSE);
        }
        // What still can't be understood after so many looks is damaged, and the load says how.
        match Loaded::load_or_tell(&self.world, &self.files, T::parse)? {
            Ok(loaded) => Ok(Arc::clone(&self.publish(loaded).table)),
            Err(broken) => {
                let error = broken.error.again();
                *self.broken.write() = Some(broken);
                Err(error)
            }
        }
    }

    /// As [`Watched::snapshot`], but tried once: none when the files keep changing, or can't be understood.
    pub(super) fn try_snapshot(&self) -> Result<Option<Arc<T>>> {
        if let Some(loaded) = self.current()? {
            return Ok(Some(Arc::clone(&loaded.table)));
        }
        let loaded = Loaded::load_unlocked(&self.world, &self.files)?;
        Ok(loaded.map(|loaded| Arc::clone(&self.publish(loaded).table)))
    }

    /// Whether `table` is what [`Watched::snapshot`] would return now. Costs one `stat` a file.
    pub fn is_current(&self, table: &Arc<T>) -> Result<bool> {
        Ok(self.current()?.is_some_and(|loaded| Arc::ptr_eq(&loaded.table, table)))
    }

    /// What was loaded last, if it is current.
    pub(super) fn current(&self) -> Result<Option<Arc<Loaded<T, W>>>> {
        let latest = self.latest.read().clone();
        match latest {
            Some(loaded) if loaded.is_current(&self.world, &self.files)? => Ok(Some(loaded)),
            _ => Ok(None),
        }
    }

    /// What the files hold now. A lock that keeps writers out is held.
    pub(super) fn refresh(&self) -> Result<Arc<Loaded<T, W>>> {
        match self.current()? {
            Some(loaded) => Ok(loaded),
            None => Ok(self.publish(Loaded::load(&self.world, &self.files)?)),
        }
    }

    pub(super) fn publish(&self, loaded: Loaded<T, W>) -> Arc<Loaded<T, W>> {
        let loaded = Arc::new(loaded);
        *self.latest.write() = Some(Arc::clone(&loaded));
        loaded
    }
}

impl<T: Table, W: World> fmt::Debug for Watched<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::locks::{Flush, Kernel, RecordBytes};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static PARSED: AtomicUsize = AtomicUsize::new(0);

    #[derive(Debug)]
    struct Counting;

    impl Table for Counting {
        const LOADING: &'static str = "load";

        fn parse(files: &[RecordBytes<'_>]) -> Result<Self> {
            PARSED.fetch_add(1, Ordering::Relaxed);
            let broken = files.iter().any(|file| file.bytes == Some(b"broken"));
            if broken { Err(crate::Error::new(Kind::Corrupt, "load").detail("why")) } else { Ok(Counting) }
        }

        fn serialise(&self, _file: usize) -> Vec<u8> {
            Vec::new()
        }
    }

    #[test]
    fn damage_is_looked_at_once_for_each_version() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        let watched: Watched<Counting, Kernel> =
            Watched::new(Kernel::new(), vec![RecordFile { path: path.clone(), flush: Flush::Nothing }]);
        std::fs::write(&path, "broken").expect("write");
        let first = watched.snapshot().expect_err("broken");
        let looks = PARSED.load(Ordering::Relaxed);
        let second = watched.snapshot().expect_err("broken still");
        assert_eq!((second.kind(), second.to_string()), (Kind::Corrupt, first.to_string()));
        assert_eq!(PARSED.load(Ordering::Relaxed), looks, "the same version was looked at again");
        std::fs::write(&path, "whole again").expect("write");
        watched.snapshot().expect("another version");
    }
}
