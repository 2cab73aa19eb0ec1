//! The locks of a store without records: where tests and conformance runs of drivers get their tokens.

use std::path::Path;

use super::{Driver, Exclusive, Gate, Mounting, Shared};
use crate::error::Result;
use crate::lockfile::{Access, LockFile, Wait};
use crate::locks::level::{Layers, Mounts};
use crate::locks::{Guarded, Kernel, NoRecords, RecordFile, StoreId, ThreadKey, mounting};

/// Real locks on files in a directory, as a store has them, with nothing behind them.
#[derive(Debug)]
pub struct ScratchLocks {
    store: StoreId,
    layers: Guarded<Layers, NoRecords, Kernel>,
    mounts: Guarded<Mounts, NoRecords, Kernel>,
}

impl ScratchLocks {
    /// Locks on files in `directory`.
    pub fn in_directory(directory: &Path) -> Self {
        let store = StoreId::fresh();
        let file = |name: &str| LockFile::new(directory.join(name), Access::ReadWrite);
        let none: Vec<RecordFile> = Vec::new();
        ScratchLocks {
            store,
            layers: Guarded::new(store, Kernel::new(), vec![file("layers.lock")], none.clone(), Wait::forever()),
            mounts: Guarded::new(store, Kernel::new(), vec![file("mountpoints.lock")], none, Wait::forever()),
        }
    }

    /// The gate of this store to `driver`.
    pub fn gate(&self, driver: Box<dyn Driver>) -> Gate {
        Gate::new(self.store, driver)
    }

    /// Runs `body` with a shared hold.
    pub fn shared<R>(&self, key: &mut ThreadKey, body: impl FnOnce(&Shared<'_>) -> R) -> Result<R> {
        let (guard, _key) = self.layers.read(key, &Wait::forever())?;
        let token = guard.shared();
        Ok(body(&token))
    }

    /// Runs `body` with an exclusive hold.
    pub fn exclusive<R>(&self, key: &mut ThreadKey, body: impl FnOnce(&mut Exclusive<'_>) -> R) -> Result<R> {
        let (mut guard, _key) = self.layers.write(key, &Wait::forever())?;
        let mut token = guard.exclusive();
        Ok(body(&mut token))
    }

    /// Runs `body` with a hold for mounting.
    pub fn mounting<R>(&self, key: &mut ThreadKey, body: impl FnOnce(&mut Mounting<'_>) -> R) -> Result<R> {
        let (mut layers, mut key) = self.layers.write(key, &Wait::forever())?;
        let (mut mounts, _key) = self.mounts.write(&mut key, &Wait::forever())?;
        let mut token = mounting(&mut layers, &mut mounts)?;
        Ok(body(&mut token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn guards_of_two_stores_prove_nothing_together() {
        let (one, two) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let (one, two) = (ScratchLocks::in_directory(one.path()), ScratchLocks::in_directory(two.path()));
        let mut key = ThreadKey::take().expect("key");
        let (mut layers, mut key) = one.layers.write(&mut key, &Wait::forever()).expect("layers");
        let (mut mounts, _key) = two.mounts.write(&mut key, &Wait::forever()).expect("mounts");
        assert_eq!(mounting(&mut layers, &mut mounts).map(|_| ()).map_err(|error| error.kind()), Err(Kind::LockMisuse));
    }
}
