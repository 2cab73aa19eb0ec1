//! State that only a guard gives access to.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use parking_lot::lock_api::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::key::{Key, MayTake};
use super::level::{Layers, Level, Mounts};
use super::records::{Loaded, RecordBytes, RecordFile, Table};
use super::token::{Exclusive, Mounting, Shared, StoreId};
use super::watched::Watched;
use super::world::World;
use crate::error::{Error, Kind, Result};
use crate::lockfile::{Hold, LastWrite, LockFile, LockFiles, Mode, Wait};

/// The records of level `L`, behind their lock file and a lock of this process.
pub struct Guarded<L: Level, T: Table, W: World> {
    store: StoreId,
    /// Usually one. A store whose images stand in a separate place has two, taken in this order.
    locks: Vec<LockFile<W::Files>>,
    /// How long a snapshot waits, when it has to.
    patience: Wait,
    watched: Watched<T, W>,
    /// The in-process lock. It protects no more than the pointer, but it is taken after the file lock and given back before
    /// it, so that a guard is one hold of both.
    state: RwLock<W::Raw, ()>,
    level: PhantomData<fn() -> L>,
}

/// The level is held for reading.
#[must_use = "dropping the guard releases the lock"]
pub struct ReadGuard<'g, L: Level, T: Table, W: World> {
    loaded: Arc<Loaded<T, W>>,
    owner: &'g Guarded<L, T, W>,
    _state: RwLockReadGuard<'g, W::Raw, ()>,
    holds: Vec<Hold<W::Files>>,
}

/// The level is held for writing.
#[must_use = "dropping the guard releases the lock"]
pub struct WriteGuard<'g, L: Level, T: Table, W: World> {
    loaded: Arc<Loaded<T, W>>,
    owner: &'g Guarded<L, T, W>,
    _state: RwLockWriteGuard<'g, W::Raw, ()>,
    holds: Vec<Hold<W::Files>>,
}

impl<L: Level, T: Table, W: World> Guarded<L, T, W> {
    /// The records in `files`, behind `locks`, of the store `store`. `patience` is for snapshots that need the lock.
    pub fn new(
        store: StoreId,
        world: W,
        locks: Vec<LockFile<W::Files>>,
        files: Vec<RecordFile>,
        patience: Wait,
    ) -> Self {
        let watched = Watched::new(world, files);
        Guarded { store, locks, patience, watched, state: RwLock::new(()), level: PhantomData }
    }

    /// The lock files of the level.
    pub fn lock_files(&self) -> &[LockFile<W::Files>] {
        &self.locks
    }

    /// The world that the level lives in.
    pub fn world(&self) -> &W {
        &self.watched.world
    }

    /// The records as they were at one moment not before this call. Takes no lock and waits for nobody, unless the files
    /// change all the time or can't be understood: then they are read once under the lock, to tell which. On a network
    /// filesystem every look opens the files anew.
    ///
    /// It promises one moment of this level's files. What must agree across levels takes [`Guarded::read`] in order.
    pub fn snapshot(&self) -> Result<Arc<T>> {
        if let Some(table) = self.watched.try_snapshot()? {
            return Ok(table);
        }
        let holds = self.lock(Mode::Shared, &self.patience)?;
        let loaded = self.watched.refresh()?;
        drop(holds);
        Ok(Arc::clone(&loaded.table))
    }

    /// Whether `table` is what [`Guarded::snapshot`] would return now. Costs one `stat` a file.
    pub fn is_current(&self, table: &Arc<T>) -> Result<bool> {
        self.watched.is_current(table)
    }

    fn lock(&self, mode: Mode, wait: &Wait) -> Result<Vec<Hold<W::Files>>> {
        self.locks.iter().map(|file| file.acquire(mode, wait)).collect()
    }

    /// Holds the level for reading.
    pub fn read<'g, K: MayTake<L>>(
        &'g self,
        _key: &'g mut K,
        wait: &Wait,
    ) -> Result<(ReadGuard<'g, L, T, W>, Key<'g, L>)> {
        let holds = self.lock(Mode::Shared, wait)?;
        let state = self.state.read();
        let loaded = self.watched.refresh()?;
        Ok((ReadGuard { loaded, owner: self, _state: state, holds }, Key::narrowed()))
    }

    /// Holds the level for writing.
    pub fn write<'g, K: MayTake<L>>(
        &'g self,
        _key: &'g mut K,
        wait: &Wait,
    ) -> Result<(WriteGuard<'g, L, T, W>, Key<'g, L>)> {
        let holds = self.lock(Mode::Exclusive, wait)?;
        let state = self.state.write();
        let loaded = self.watched.refresh()?;
        Ok((WriteGuard { loaded, owner: self, _state: state, holds }, Key::narrowed()))
    }
}

impl<L: Level, T: Table, W: World> Guarded<L, T, W> {
    /// Holds the level for writing although its files may not be understood: `parse` makes the best of them, the first save
    /// makes that what everybody sees.
    pub fn write_salvaging<'g, K: MayTake<L>>(
        &'g self,
        _key: &'g mut K,
        wait: &Wait,
        parse: impl FnOnce(&[RecordBytes<'_>]) -> Result<T>,
    ) -> Result<(WriteGuard<'g, L, T, W>, Key<'g, L>)> {
        let holds = self.lock(Mode::Exclusive, wait)?;
        let state = self.state.write();
        let loaded = Arc::new(Loaded::load_by(&self.watched.world, &self.watched.files, parse)?);
        Ok((WriteGuard { loaded, owner: self, _state: state, holds }, Key::narrowed()))
    }

    /// The files of the level's records.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.watched.files.iter().map(|file| file.path.as_path())
    }
}

impl<L: Level, T: Table, W: World> ReadGuard<'_, L, T, W> {
    /// The records.
    pub fn table(&self) -> &Arc<T> {
        &self.loaded.table
    }

    /// The record of the last write.
    pub fn last_write(&self) -> Result<LastWrite> {
        last_write(&self.holds)
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
        let Watched { world, files, .. } = &self.owner.watched;
        match self.loaded.save(world, &self.holds, files, Arc::new(table), changed) {
            Ok(loaded) => {
                self.loaded = self.owner.watched.publish(loaded);
                Ok(())
            }
            Err(error) => {
                // A reload that fails too leaves the former table; the first error says more.
                if let Ok(loaded) = self.owner.watched.refresh() {
                    self.loaded = loaded;
                }
                Err(error)
            }
        }
    }

    /// Makes the names of the level's files survive power loss.
    pub fn flush_names(&self) -> Result<()> {
        let Watched { world, files, .. } = &self.owner.watched;
        let homes: BTreeSet<_> =
            files.iter().filter_map(|file| file.path.parent()).filter(|home| home.is_dir()).collect();
        homes.into_iter().try_for_each(|home| world.flush_directory(home))
    }

    /// The world that the level lives in.
    pub fn world(&self) -> &'g W {
        &self.owner.watched.world
    }

    /// Records a write that isn't in the files: every other process then looks again at what this level protects.
    pub fn record_write(&mut self) -> Result<LastWrite> {
        for hold in &self.holds {
            self.owner.watched.world.record_write(hold)?;
        }
        self.last_write()
    }

    /// The record of the last write.
    pub fn last_write(&self) -> Result<LastWrite> {
        last_write(&self.holds)
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

/// The record of the last write of a level: that in its first lock file.
fn last_write<F: LockFiles>(holds: &[Hold<F>]) -> Result<LastWrite> {
    let first = holds.first().ok_or_else(|| Error::new(Kind::LockMisuse, "read last write").detail("no lock"))?;
    first.last_write()
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
        f.debug_struct("Guarded").field("level", &L::NAME).field("locks", &self.locks).finish_non_exhaustive()
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
