//! Running cases: each in a thread of its own, so that one that panics or never ends is told and not waited for.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use storage_core::Result;
use storage_core::driver::Descriptor;
use storage_core::fs::remove::remove_tree;

use super::bench::Bench;
use super::cases;
use super::check::{Checked, Stop};
use super::expected::vanished;
use super::need::Need;
use super::store::task;
use super::worker::Workers;
use super::{Case, Done, Outcome, Report};
use crate::grounds::{Filesystem, Grounds, unmount_below};

/// After how long a case counts as one that never ends.
const LIMIT: Duration = Duration::from_mins(10);

/// All cases, in the order in which they are run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    cases::ALL.iter().copied().flatten()
}

/// A driver, and where and how it is tried.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The driver.
    pub descriptor: Descriptor,
    /// Where its stores are made.
    pub grounds: Arc<Grounds>,
    /// How processes of its are started.
    pub workers: Arc<Workers>,
}

impl Suite {
    /// Runs the cases whose names contain `filter`, and hands each to `each` when it is done. When all are run, those that
    /// have vanished count as failed.
    ///
    /// * Fails when the driver can't be opened on the grounds at all.
    pub fn run(&self, filter: &str, each: &mut dyn FnMut(&Done)) -> Result<Report> {
        let bench = self.bench("opened");
        let store = bench.store()?;
        let filesystem = self.grounds.filesystem();
        let capabilities = store.gate().capabilities();
        let late_parents = store.gate().parents_may_come_late();
        let driver = self.descriptor.name.to_owned();
        let mut report = Report { driver, filesystem, capabilities, late_parents, done: Vec::new() };
        let mut tell = |done: Done, report: &mut Report| {
            each(&done);
            report.done.push(done);
        };
        for case in all().filter(|case| case.name.contains(filter)) {
            let unmet = case.needs.iter().find_map(|need: &Need| need.unmet(store.gate(), filesystem));
            let began = Instant::now();
            let outcome = match unmet {
                Some(reason) => Outcome::Skipped(reason),
                None => self.one(case),
            };
            let hangs = began.elapsed() >= LIMIT;
            tell(Done::of(case, outcome, began.elapsed()), &mut report);
            if hangs {
                break;
            }
        }
        if filter.is_empty() {
            for name in vanished(&report) {
                let outcome = Outcome::Failed("the case was expected and not run".to_owned());
                let promise = "Every expected case is run.".to_owned();
                tell(Done { name, promise, outcome, took: Duration::ZERO }, &mut report);
            }
        }
        Ok(report)
    }

    fn bench(&self, case: &str) -> Bench {
        Bench::new(self.descriptor, Arc::clone(&self.grounds), Arc::clone(&self.workers), case)
    }

    fn one(&self, case: &'static Case) -> Outcome {
        let (send, receive) = mpsc::channel();
        let bench = self.bench(case.name);
        let name = bench.name.clone();
        let body = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&bench)));
            // Nobody waits any more for a case that took too long.
            let _ = send.send(outcome_of(outcome));
        };
        let started = std::thread::Builder::new().name(case.name.to_owned()).spawn(body);
        let outcome = match (started, receive.recv_timeout(LIMIT)) {
            (Err(error), _) => Outcome::Failed(format!("no thread could be started: {error}")),
            (Ok(thread), Ok(outcome)) => {
                let _ = thread.join();
                outcome
            }
            (Ok(_), Err(RecvTimeoutError::Timeout)) => {
                return Outcome::Failed(format!("it didn't end within {} s", LIMIT.as_secs()));
            }
            (Ok(_), Err(RecvTimeoutError::Disconnected)) => Outcome::Failed("its thread ended".to_owned()),
        };
        self.clear(&name);
        outcome
    }

    /// Takes away what a case made, as far as that can be: the rest goes with the grounds.
    fn clear(&self, case: &str) {
        if self.grounds.filesystem() == Filesystem::Zfs {
            return;
        }
        for number in 0..10 {
            let directory = self.grounds.path().join(format!("{case}.{number}"));
            if directory.exists() && unmount_below(&directory).is_ok() {
                let _ = remove_tree(&directory, &task());
            }
        }
    }
}

fn outcome_of(ended: std::result::Result<Checked, Box<dyn Any + Send>>) -> Outcome {
    match ended {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(Stop::Failed(detail))) => Outcome::Failed(detail),
        Ok(Err(Stop::Skipped(reason))) => Outcome::Skipped(reason),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Outcome::Failed(format!("it panicked: {text}"))
        }
    }
}
