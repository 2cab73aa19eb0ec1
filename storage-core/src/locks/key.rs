//! A thread's permission to wait for locks, as a value.

use std::cell::Cell;
use std::marker::PhantomData;

use super::level::{Before, Level, Nothing};
use crate::error::{Error, Kind, Result};

thread_local! {
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// The one key of a thread. Every blocking acquisition borrows it, so none can be made while a later one is held.
#[derive(Debug)]
pub struct ThreadKey<P: KeyPlace = RealThread> {
    thread: PhantomData<*const ()>,
    place: PhantomData<P>,
}

/// Where it is noted that a thread has its key. A store asks for that of a [`RealThread`].
pub trait KeyPlace: 'static {
    /// Notes whether this thread's key is taken, and returns what was noted before.
    fn note(taken: bool) -> bool;
}

/// A thread of the operating system.
#[derive(Clone, Copy, Debug)]
pub enum RealThread {}

impl KeyPlace for RealThread {
    fn note(taken: bool) -> bool {
        TAKEN.replace(taken)
    }
}

/// What a thread may still take while it holds level `Held`.
#[derive(Debug)]
pub struct Key<'k, Held: Level> {
    above: PhantomData<&'k mut ()>,
    held: PhantomData<Held>,
    thread: PhantomData<*const ()>,
}

/// A key with which `L` may be taken.
#[diagnostic::on_unimplemented(
    message = "the level {L} can't be taken with this key (R5, R7)",
    label = "this lock comes earlier in the order, or is held already"
)]
pub trait MayTake<L: Level> {}

impl<L: Level, P: KeyPlace> MayTake<L> for ThreadKey<P> where Nothing: Before<L> {}
impl<L: Level, Held: Level + Before<L>> MayTake<L> for Key<'_, Held> {}

impl ThreadKey {
    /// Takes this thread's key. Fails with [`Kind::LockMisuse`] when it is taken already: a second key would let the thread
    /// wait for itself.
    pub fn take() -> Result<Self> {
        Self::take_from_place()
    }
}

impl<P: KeyPlace> ThreadKey<P> {
    /// As [`ThreadKey::take`], of the sort of threads that `P` knows.
    pub fn take_from_place() -> Result<Self> {
        if P::note(true) {
            return Err(Error::new(Kind::LockMisuse, "take the thread's key")
                .detail("this thread has one already")
                .remedy("hand the first one on as `&mut`"));
        }
        Ok(ThreadKey { thread: PhantomData, place: PhantomData })
    }
}

impl<P: KeyPlace> Drop for ThreadKey<P> {
    fn drop(&mut self) {
        P::note(false);
    }
}

impl<Held: Level> Key<'_, Held> {
    pub(super) fn narrowed() -> Self {
        Key { above: PhantomData, held: PhantomData, thread: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_key_in_one_thread_is_refused_and_a_dropped_one_can_be_taken_again() {
        let first = ThreadKey::take().expect("the first");
        assert_eq!(ThreadKey::take().map(|_| ()).map_err(|error| error.kind()), Err(Kind::LockMisuse));
        std::thread::spawn(|| assert!(ThreadKey::take().is_ok(), "another thread has a key of its own"))
            .join()
            .expect("join");
        drop(first);
        assert!(ThreadKey::take().is_ok());
    }
}
