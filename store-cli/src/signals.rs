//! Ctrl-C and its kin: the first one asks the work to stop, the second one ends the process.
//!
//! The signals are blocked in every thread and taken by one that waits for them, so nothing happens between two
//! instructions. What a process leaves when the second one ends it is reclaimed by the next writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use storage_core::{Cancel, Error, Result};

use crate::output::complain;
use crate::stop::code;

/// What becomes of work that doesn't heed the first signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It only reads: it is ended after a moment.
    Brief,
    /// It changes something: it is left alone until the second signal.
    Endless,
}

/// How long work that only reads may take to stop.
const MOMENT: Duration = Duration::from_secs(2);

/// Which signal came, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caught(Arc<AtomicI32>);

impl Caught {
    /// The exit code that tells of the signal: 130 after Ctrl-C, 143 after SIGTERM.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(code::SIGNAL + number as u8),
        }
    }
}

/// From now on signals ask `cancel` to stop the work. Call it once, before other threads start.
pub(crate) fn watch(cancel: Cancel, patience: Patience) -> Result<Caught> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|source| Error::os("pthread_sigmask", "of this thread", source))?;
    let caught = Caught::default();
    let noted = caught.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || heed(&signals, &cancel, &noted, patience))
        .map_err(|source| Error::os("start thread", "signals", source))?;
    Ok(caught)
}

fn heed(signals: &SigSet, cancel: &Cancel, noted: &Caught, patience: Patience) {
    while let Ok(signal) = signals.wait() {
        let number = signal as i32;
        if noted.0.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            std::process::exit(i32::from(code::SIGNAL) + number);
        }
        cancel.cancel();
        match patience {
            Patience::Endless => complain(format_args!("{signal}: stopping; once more ends at once")),
            Patience::Brief => {
                std::thread::spawn(move || {
                    std::thread::sleep(MOMENT);
                    std::process::exit(i32::from(code::SIGNAL) + number);
                });
            }
        }
    }
}
