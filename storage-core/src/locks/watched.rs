//! Records as whoever takes no lock sees them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::records::{Loaded, RecordFile, Table};
use super::world::World;
use crate::error::Result;

/// Files of records, and what was read from them last.
pub struct Watched<T: Table, W: World> {
    pub(super) world: W,
    pub(super) files: Vec<RecordFile>,
    /// What was loaded or saved last.
    latest: RwLock<Option<Arc<Loaded<T, W>>>>,
}

/// How often files that keep changing are looked at before what they hold is taken for damage, and the pause between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

impl<T: Table, W: World> Watched<T, W> {
    /// Watches `files`.
    pub fn new(world: W, files: Vec<RecordFile>) -> Self {
        Watched { world, files, latest: RwLock::new(None) }
    }

    /// The records as they were at one moment not before this call. Takes no lock, makes no file, and needs no permission
    /// but to read.
    pub fn snapshot(&self) -> Result<Arc<T>> {
        for _ in 0..TRIES {
            if let Some(table) = self.try_snapshot()? {
                return Ok(table);
            }
            std::thread::sleep(PAUSE);
        }
        // What still can't be understood after so many looks is damaged, and the load says how.
        Ok(Arc::clone(&self.publish(Loaded::load(&self.world, &self.files)?).table))
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
