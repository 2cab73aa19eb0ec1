//! Tokens: proof, in an argument list, of which lock a caller holds.
//!
//! A token borrows the guard that it came from, so it can't outlive it, and it carries the identity of its store, so that
//! one gate can refuse a token of another store. Only this module's siblings make them.
//!
//! * [`Shared`]: the layer store is held for reading or better. Usable from scoped threads.
//! * [`Exclusive`]: it is held for writing. Bound to its thread. Lends a [`Shared`].
//! * [`Mounting`]: it is held for writing, and `mountpoints.lock` too. Bound to its thread. Lends an [`Exclusive`].

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which opened store a token belongs to: unique in the process, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(u64);

impl StoreId {
    /// The store of the program that loaded this one as a plugin: it is on the other side of the border.
    pub(crate) const BEYOND: StoreId = StoreId(0);

    /// An identity that no other store of this process has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        StoreId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Bound to one thread: neither `Send` nor `Sync`.
type OneThread = PhantomData<*const ()>;

/// Proof that the layer store is held for reading or better.
#[derive(Debug)]
pub struct Shared<'g> {
    store: StoreId,
    guard: PhantomData<&'g ()>,
}

/// Proof that the layer store is held for writing.
#[derive(Debug)]
pub struct Exclusive<'g> {
    store: StoreId,
    guard: PhantomData<&'g mut ()>,
    thread: OneThread,
}

/// Proof that the layer store and `mountpoints.lock` are held for writing.
#[derive(Debug)]
pub struct Mounting<'g> {
    exclusive: Exclusive<'g>,
}

impl Shared<'_> {
    pub(crate) fn new(store: StoreId) -> Self {
        Shared { store, guard: PhantomData }
    }

    /// The store that this proof is about.
    pub fn store(&self) -> StoreId {
        self.store
    }
}

impl Exclusive<'_> {
    pub(crate) fn new(store: StoreId) -> Self {
        Exclusive { store, guard: PhantomData, thread: PhantomData }
    }

    /// The store that this proof is about.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// The weaker proof: who may write may read.
    pub fn shared(&self) -> Shared<'_> {
        Shared::new(self.store)
    }
}

impl<'g> Mounting<'g> {
    pub(crate) fn new(store: StoreId) -> Self {
        Mounting { exclusive: Exclusive::new(store) }
    }

    /// The store that this proof is about.
    pub fn store(&self) -> StoreId {
        self.exclusive.store
    }

    /// The weaker proof: who may mount may write.
    pub fn exclusive(&mut self) -> &mut Exclusive<'g> {
        &mut self.exclusive
    }

    /// The weakest proof: who may mount may read.
    pub fn shared(&self) -> Shared<'_> {
        self.exclusive.shared()
    }
}
