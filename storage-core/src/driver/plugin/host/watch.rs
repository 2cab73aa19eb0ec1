//! Calls into plugins that don't come back.
//!
//! Each call of a watched plugin is on a list while it lasts. One thread looks at the list, and tells of a call that was not
//! heard of for a while: it neither returned, nor reported work, nor called back. The thread sleeps while there are no calls.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A call that has been silent for a while.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The plugin's driver; without a name while the plugin is loaded, before its table was seen.
    pub driver: &'static str,
    /// Its file.
    pub file: &'static Path,
    /// The function, as the header calls it; `dlopen` while the dynamic linker works.
    pub operation: &'static str,
    /// How long nothing was heard.
    pub silent: Duration,
}

type Notice = dyn Fn(&Silence) + Send + Sync;

/// Who is told of silent calls, and after how long. The default is nobody.
#[derive(Clone, Default)]
pub(in super::super) struct Watch(Option<(Duration, Arc<Notice>)>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.as_ref().map(|(after, _)| after)).finish()
    }
}

/// One call.
struct Flight {
    silence: Silence,
    after: Duration,
    notice: Arc<Notice>,
    /// When it was last heard of, in milliseconds of the clock; the most once it was told of.
    heard: AtomicU64,
}

#[derive(Default)]
struct Flights {
    all: Vec<Arc<Flight>>,
    /// There is a thread.
    watched: bool,
    /// It sleeps until it is called.
    asleep: bool,
}

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);
static FLIGHTS: LazyLock<(Mutex<Flights>, Condvar)> = LazyLock::new(Default::default);

/// It was told of, so it is not told of again.
const TOLD: u64 = u64::MAX;

fn now() -> u64 {
    CLOCK.elapsed().as_millis() as u64
}

impl Watch {
    pub(in super::super) fn telling(after: Duration, notice: Arc<Notice>) -> Self {
        Watch(Some((after, notice)))
    }

    /// Puts a call on the list, until what is returned is dropped.
    pub(in super::super) fn begin(&self, driver: &'static str, file: &'static Path, operation: &'static str) -> Flying {
        let Some((after, notice)) = &self.0 else { return Flying(None) };
        let silence = Silence { driver, file, operation, silent: *after };
        let flight = Arc::new(Flight { silence, after: *after, notice: Arc::clone(notice), heard: now().into() });
        let mut flights = FLIGHTS.0.lock();
        flights.all.push(Arc::clone(&flight));
        if !flights.watched {
            // Where no thread is to be had, nobody is told.
            let started = std::thread::Builder::new().name("plugin calls".to_owned()).spawn(look_on);
            flights.watched = started.is_ok();
        } else if flights.asleep {
            flights.asleep = false;
            FLIGHTS.1.notify_one();
        }
        Flying(Some(flight))
    }
}

/// A call on the list.
pub(in super::super) struct Flying(Option<Arc<Flight>>);

impl fmt::Debug for Flying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flying").field(&self.0.as_ref().map(|flight| flight.silence.operation)).finish()
    }
}

impl Flying {
    /// It was heard of.
    pub(super) fn hear(&self) {
        if let Some(flight) = &self.0
            && flight.heard.load(Ordering::Relaxed) != TOLD
        {
            flight.heard.store(now(), Ordering::Relaxed);
        }
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        if let Some(flight) = &self.0 {
            FLIGHTS.0.lock().all.retain(|each| !Arc::ptr_eq(each, flight));
        }
    }
}

fn look_on() {
    loop {
        let mut flights = FLIGHTS.0.lock();
        let Some(pause) = flights.all.iter().map(|flight| flight.after).min() else {
            flights.asleep = true;
            FLIGHTS.1.wait(&mut flights);
            continue;
        };
        // Not while the list is locked: who is told may call a driver.
        let silent: Vec<_> = flights.all.iter().filter(|flight| flight.is_silent()).cloned().collect();
        drop(flights);
        for flight in silent {
            (flight.notice)(&flight.silence);
        }
        std::thread::sleep((pause / 4).clamp(Duration::from_millis(5), Duration::from_secs(1)));
    }
}

impl Flight {
    /// Whether it has been silent for long enough, and was not told of yet.
    fn is_silent(&self) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        heard != TOLD
            && now().saturating_sub(heard) >= self.after.as_millis() as u64
            && self.heard.compare_exchange(heard, TOLD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
