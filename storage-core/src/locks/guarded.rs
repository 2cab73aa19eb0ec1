//! State that only a guard gives access to.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::key::{Key, MayTake};
use super::level::{Layers, Level, Mounts};
use super::records::{Loaded, RecordFile, Table};
use super::token::{Exclusive, Mounting, Shared, StoreId};
use super::world::World;
use crate::error::{Error, Kind, Result};
use crate::lockfile::{LastWrite, LockFile, Mode, Wait};

/// The records of level `L`, behind their lock file and a lock of this process.
pub struct Guarded<L: Level, T: Table, W: World> {
    store: StoreId,
    world: W,
    lock: LockFile,
    files: Vec<RecordFile>,
    /// The in-process lock. It protects no more than the pointer, but it is taken after the file lock and given back before
    /// it, so that a guard is one hold of both.
    state: RwLock<()>,
    /// What was loaded or saved last: for snapshots and for the next guard, which look whether it is current.
    latest: RwLock<Option<Arc<Loaded<T, W>>>>,
    level: PhantomData<fn() -> L>,
}

/// The level is held for reading.
#[must_use = "dropping the guard releases the lock"]
pub struct ReadGuard<'g, L: Level, T: Table, W: World> {
    loaded: Arc<Loaded<T, W>>,
    owner: &'g Guarded<L, T, W>,
    _state: RwLockReadGuard<'g, ()>,
    hold: W::Hold,
}

/// The level is held for writing.
#[must_use = "dropping the guard releases the lock"]
pub struct WriteGuard<'g, L: Level, T: Table, W: World> {
    loaded: Arc<Loaded<T, W>>,
    owner: &'g Guarded<L, T, W>,
    _state: RwLockWriteGuard<'g, ()>,
    hold: W::Hold,
}

impl<L: Level, T: Table, W: World> Guarded<L, T, W> {
    /// The records in `files`, behind `lock`, of the store `store`.
    pub fn new(store: StoreId, world: W, lock: LockFile, files: Vec<RecordFile>) -> Self {
        Guarded { store, world, lock, files, state: RwLock::new(()), latest: RwLock::new(None), level: PhantomData }
    }

    /// The lock file of the level.
    pub fn lock_file(&self) -> &LockFile {
        &self.lock
    }

    /// The world that the level lives in.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// The records as they were at one moment not before this call. Takes no lock and waits for nobody, unless the files
    /// change all the time or can't be understood: then they are read once under the lock, to tell which.
    ///
    /// It promises one moment of this level's files. What must agree across levels takes [`Guarded::read`] in order.
    pub fn snapshot(&self) -> Result<Arc<T>> {
        if let Some(loaded) = self.current()? {
            return Ok(Arc::clone(&loaded.table));
        }
        if let Some(loaded) = Loaded::load_unlocked(&self.world, &self.files)? {
            return Ok(Arc::clone(&self.publish(loaded).table));
        }
        let hold = self.world.lock(&self.lock, Mode::Shared, &Wait::forever())?;
        let loaded = self.refresh()?;
        drop(hold);
        Ok(Arc::clone(&loaded.table))
    }

    /// Whether `table` is what [`Guarded::snapshot`] would return now. Costs one `stat` a file.
    pub fn is_current(&self, table: &Arc<T>) -> Result<bool> {
        Ok(self.current()?.is_some_and(|loaded| Arc::ptr_eq(&loaded.table, table)))
    }

    /// Holds the level for reading.
    pub fn read<'g, K: MayTake<L>>(
        &'g self,
        _key: &'g mut K,
        wait: &Wait,
    ) -> Result<(ReadGuard<'g, L, T, W>, Key<'g, L>)> {
        let hold = self.world.lock(&self.lock, Mode::Shared, wait)?;
        let state = self.state.read();
        let loaded = self.refresh()?;
        Ok((ReadGuard { loaded, owner: self, _state: state, hold }, Key::narrowed()))
    }

    /// Holds the level for writing.
    pub fn write<'g, K: MayTake<L>>(
        &'g self,
        _key: &'g mut K,
        wait: &Wait,
    ) -> Result<(WriteGuard<'g, L, T, W>, Key<'g, L>)> {
        let hold = self.world.lock(&self.lock, Mode::Exclusive, wait)?;
        let state = self.state.write();
        let loaded = self.refresh()?;
        Ok((WriteGuard { loaded, owner: self, _state: state, hold }, Key::narrowed()))
    }

    /// What was loaded last, if it is current.
    fn current(&self) -> Result<Option<Arc<Loaded<T, W>>>> {
        let latest = self.latest.read().clone();
        match latest {
            Some(loaded) if loaded.is_current(&self.world, &self.files)? => Ok(Some(loaded)),
            _ => Ok(None),
        }
    }

    /// What the files hold now. The lock is held.
    fn refresh(&self) -> Result<Arc<Loaded<T, W>>> {
        match self.current()? {
            Some(loaded) => Ok(loaded),
            None => Ok(self.publish(Loaded::load(&self.world, &self.files)?)),
        }
    }

    fn publish(&self, loaded: Loaded<T, W>) -> Arc<Loaded<T, W>> {
        let loaded = Arc::new(loaded);
        *self.latest.write() = Some(Arc::clone(&loaded));
        loaded
    }
}

impl<L: Level, T: Table, W: World> ReadGuard<'_, L, T, W> {
    /// The records.
    pub fn table(&self) -> &Arc<T> {
        &self.loaded.table
    }

    /// The record of the last write.
    pub fn last_write(&self) -> Result<LastWrite> {
        self.owner.world.last_write(&self.hold)
    }
}

impl<T: Table, W: World> ReadGuard<'_, Layers, T, W> {
    /// Proof of the hold.
    pub fn shared(&self) -> Shared<'_> {
        Shared::new(self.owner.store)
    }
}

impl<'g, L: Level, T: Table, W: World> WriteGuard<'g, L, T, W> {
    /// The records.
    pub fn table(&self) -> &Arc<T> {
        &self.loaded.table
    }

    /// Replaces the records: `table` becomes what every later reader sees, with the files numbered in `changed` rewritten.
    ///
    /// Before a failure is returned the files are read again:
    /// * nothing was written (no space, no permission): the guard's table is the former one;
    /// * some of several files were written: the guard's table is what the files hold, which is a mixture, each record in it
    ///   whole; the caller decides by it what to undo.
    pub fn save(&mut self, table: T, changed: &[usize]) -> Result<()> {
        let saved = self.loaded.save(&self.owner.world, &self.hold, &self.owner.files, Arc::new(table), changed);
        match saved {
            Ok(loaded) => {
                self.loaded = self.owner.publish(loaded);
                Ok(())
            }
            Err(error) => {
                // A reload that fails too leaves the former table; the first error says more.
                if let Ok(loaded) = self.owner.refresh() {
                    self.loaded = loaded;
                }
                Err(error)
            }
        }
    }

    /// The world that the level lives in.
    pub fn world(&self) -> &'g W {
        &self.owner.world
    }

    /// Records a write that isn't in the files: every other process then looks again at what this level protects.
    pub fn record_write(&mut self) -> Result<LastWrite> {
        self.owner.world.record_write(&self.hold)
    }

    /// The record of the last write.
    pub fn last_write(&self) -> Result<LastWrite> {
        self.owner.world.last_write(&self.hold)
    }
}

impl<T: Table, W: World> WriteGuard<'_, Layers, T, W> {
    /// Proof of the hold, for what reads.
    pub fn shared(&self) -> Shared<'_> {
        Shared::new(self.owner.store)
    }

    /// Proof of the hold.
    pub fn exclusive(&mut self) -> Exclusive<'_> {
        Exclusive::new(self.owner.store)
    }
}

/// Proof that the layers and the mount counts of one store are held for writing. Fails with [`Kind::LockMisuse`] when the
/// two guards are of different stores.
pub fn mounting<'a, A: Table, B: Table, W: World>(
    layers: &'a mut WriteGuard<'_, Layers, A, W>,
    mounts: &'a mut WriteGuard<'_, Mounts, B, W>,
) -> Result<Mounting<'a>> {
    if layers.owner.store == mounts.owner.store {
        Ok(Mounting::new(layers.owner.store))
    } else {
        Err(Error::new(Kind::LockMisuse, "prove a hold for mounting").detail("the two guards are of different stores"))
    }
}

impl<L: Level, T: Table, W: World> fmt::Debug for Guarded<L, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("level", &L::NAME).field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl<L: Level, T: Table, W: World> fmt::Debug for ReadGuard<'_, L, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").field("level", &L::NAME).finish_non_exhaustive()
    }
}

impl<L: Level, T: Table, W: World> fmt::Debug for WriteGuard<'_, L, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").field("level", &L::NAME).finish_non_exhaustive()
    }
}
