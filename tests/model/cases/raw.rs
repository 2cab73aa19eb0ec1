//! What simulated threads wait on, and the lock that threads of one simulated process exclude each other with.

use std::sync::{Mutex, MutexGuard, OnceLock};

use parking_lot::lock_api::{GuardNoSend, RawRwLock};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread::{Thread, current, park};
use storage_core::locks::KeyPlace;

/// Threads that wait for something to change. Between a look at it and [`Queue::wait`] no other thread runs.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Vec<Thread>>);

impl Queue {
    pub(crate) fn wait(&self) {
        plain(&self.0).push(current());
        park();
    }

    pub(crate) fn wake(&self) {
        let waiting = std::mem::take(&mut *plain(&self.0));
        waiting.iter().for_each(Thread::unpark);
    }
}

/// A lock of the real world around the simulated one's state. It is never held while another simulated thread may run.
pub(crate) fn plain<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Where another thread may be chosen to go on.
#[derive(Default)]
pub(crate) struct Pulse(OnceLock<AtomicUsize>);

impl Pulse {
    pub(crate) fn beat(&self) {
        self.0.get_or_init(|| AtomicUsize::new(0)).load(Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pulse")
    }
}

/// The in-process lock.
#[derive(Debug)]
pub(crate) struct Raw {
    state: Mutex<Holders>,
    queue: Queue,
    pulse: Pulse,
}

#[derive(Debug)]
struct Holders {
    readers: usize,
    writer: bool,
}

impl Raw {
    fn take(&self, exclusive: bool) -> bool {
        let mut holders = plain(&self.state);
        if holders.writer || (exclusive && holders.readers > 0) {
            return false;
        }
        if exclusive {
            holders.writer = true;
        } else {
            holders.readers += 1;
        }
        true
    }

    fn wait(&self, exclusive: bool) {
        self.pulse.beat();
        while !self.take(exclusive) {
            self.queue.wait();
        }
    }
}

#[allow(unsafe_code, reason = "the trait of raw locks is unsafe to implement")]
// SAFETY: `take` lets a writer in only where nobody is, and a reader only where no writer is.
unsafe impl RawRwLock for Raw {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Raw {
        state: Mutex::new(Holders { readers: 0, writer: false }),
        queue: Queue(Mutex::new(Vec::new())),
        pulse: Pulse(OnceLock::new()),
    };

    type GuardMarker = GuardNoSend;

    fn lock_shared(&self) {
        self.wait(false);
    }

    fn try_lock_shared(&self) -> bool {
        self.take(false)
    }

    unsafe fn unlock_shared(&self) {
        plain(&self.state).readers -= 1;
        self.queue.wake();
    }

    fn lock_exclusive(&self) {
        self.wait(true);
    }

    fn try_lock_exclusive(&self) -> bool {
        self.take(true)
    }

    unsafe fn unlock_exclusive(&self) {
        plain(&self.state).writer = false;
        self.queue.wake();
    }
}

/// A simulated thread.
#[derive(Debug)]
pub(crate) enum SimThread {}

shuttle::thread_local! {
    static KEY_TAKEN: std::cell::Cell<bool> = std::cell::Cell::new(false);
}

impl KeyPlace for SimThread {
    fn note(taken: bool) -> bool {
        KEY_TAKEN.with(|key| key.replace(taken))
    }
}
