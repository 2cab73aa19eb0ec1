//! What the rules about reading, attaching and releasing look like from outside.

use std::path::PathBuf;
use std::time::Duration;

use storage_core::driver::MountOptions;
use storage_core::lockfile::{Access, LockFile, Mode, Wait};
use storage_core::{Error, Kind, Result};

use super::course::{CHILD, Opened};
use super::outside::{Lookout, Sight};
use super::report::Observation;
use crate::engine::{self, Release, Store, ThreadKey};

/// How much of a stream passes between two looks.
const STRIDE: u64 = 4 << 20;

/// How long a mount may wait for a lock that is not given.
const PATIENCE: Duration = Duration::from_millis(100);

/// Threads that mount and release at once, and how often each does.
const CROWD: (usize, usize) = (4, 25);

/// Looks at mounts, counts and the lock while a diff streams.
#[derive(Debug)]
pub(crate) struct Watcher {
    lookout: Lookout,
    before: (Vec<PathBuf>, Option<Vec<u8>>),
    looks: u64,
    next: u64,
    strange: Option<String>,
    locked: u64,
}

impl Watcher {
    pub(crate) fn new(lookout: &Lookout) -> Result<Self> {
        let before = lookout.glance()?;
        Ok(Watcher { lookout: lookout.clone(), before, looks: 0, next: 0, strange: None, locked: 0 })
    }

    /// A stream begins.
    pub(crate) fn begin(&mut self) {
        self.next = 0;
    }

    /// Called with how much of the present stream has passed.
    pub(crate) fn glance(&mut self, passed: u64) -> Result<()> {
        if passed < self.next {
            return Ok(());
        }
        self.next = passed + STRIDE;
        self.looks += 1;
        if self.lookout.glance()? != self.before {
            self.strange.get_or_insert_with(|| "mounts or counts changed while a diff was streaming".into());
        }
        let lock = LockFile::new(self.lookout.layers_lock(), Access::ReadWrite);
        if lock.try_acquire(Mode::Exclusive)?.is_none() {
            self.locked += 1;
        }
        Ok(())
    }

    /// R1, with what the streams showed.
    pub(crate) fn verdict(&self, before: &Sight, after: &Sight) -> Observation {
        let wrong = self.strange.clone().or_else(|| after.difference(before));
        let lock = match self.locked {
            0 => "layers.lock was free each time".to_owned(),
            times => format!("layers.lock was held {times} times"),
        };
        let evidence = format!(
            "while two diffs streamed, each of {} looks found mount table and counts as before ({lock}); changes, diff size \
             and diffs left {} files of the driver unchanged",
            self.looks,
            after.files()
        );
        Observation {
            rule: "R1",
            promise: "reading changes nothing that others see",
            held: wrong.is_none() && self.locked == 0,
            evidence: wrong.unwrap_or(evidence),
        }
    }
}

/// R2: while somebody reads under the lock, nobody attaches; other readers pass.
pub(crate) fn attaching_is_exclusive(course: &mut Opened<'_>) -> Result<Observation> {
    let mut options = course.options.clone();
    options.wait = Wait::at_most(PATIENCE);
    let impatient = Store::open(&options, &engine::registry(course.globals)?, course.key)?;
    let before = course.lookout.glance()?;
    let lock = LockFile::new(course.lookout.layers_lock(), Access::ReadWrite);
    let hold = lock
        .try_acquire(Mode::Shared)?
        .ok_or_else(|| Error::new(Kind::Locked, "lock").at(course.lookout.layers_lock()))?;
    let refused = impatient.mount(course.key, CHILD, &MountOptions::default());
    let reader = impatient.driver_layers(course.key);
    drop(hold);
    let same = course.lookout.glance()? == before;
    let (held, evidence) = match (&refused, &reader) {
        (Err(error), Ok(_)) if error.kind() == Kind::Locked && same => (
            true,
            format!(
                "while a reader held layers.lock a mount gave up after {} ms, and mount table and counts stayed; a second \
                 reader passed",
                PATIENCE.as_millis()
            ),
        ),
        (Ok(_), _) => {
            course.store.unmount(course.key, CHILD, Release::One)?;
            (false, "a mount went through while a reader held the lock".to_owned())
        }
        (Err(error), Ok(_)) => (false, error.to_string()),
        (_, Err(error)) => (false, error.to_string()),
    };
    Ok(Observation { rule: "R2", promise: "attaching is exclusive", evidence, held })
}

/// R3: a crowd mounts and conditionally releases at once; the count, the mount and the answers agree at the end.
pub(crate) fn look_and_act(course: &mut Opened<'_>) -> Result<Observation> {
    let before = course.store.mounted(CHILD)?;
    let mounts_before = course.lookout.glance()?.0;
    let store = course.store;
    let strays: u64 = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD.0).map(|_| scope.spawn(|| mount_and_release(store, CROWD.1))).collect();
        crowd
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "join thread"))))
            .sum::<Result<u64>>()
    })?;
    let after = store.mounted(CHILD)?;
    let mounts_after = course.lookout.glance()?.0;
    let expected = usize::from(course.kernel_mounts);
    // The driver's home may be a mount of its own: it is no layer's.
    let home = course.lookout.graph.join(course.lookout.driver);
    let of_layers = |mounts: &[PathBuf]| mounts.iter().filter(|point| **point != home).count();
    let held = strays == 0
        && before == 1
        && after == before
        && mounts_after == mounts_before
        && of_layers(&mounts_after) == expected;
    let evidence = format!(
        "{} threads mounted and released {} times each: count {before} before, {after} after; mounts {} before, {} \
         after; {strays} wrong answers",
        CROWD.0,
        CROWD.1,
        of_layers(&mounts_before),
        of_layers(&mounts_after)
    );
    Ok(Observation { rule: "R3", promise: "look and act under one hold", evidence, held })
}

/// How many releases were refused although a mount was held.
fn mount_and_release(store: &Store, times: usize) -> Result<u64> {
    let mut key = ThreadKey::take()?;
    let mut strays = 0;
    for _ in 0..times {
        store.mount(&mut key, CHILD, &MountOptions::default())?;
        match store.unmount(&mut key, CHILD, Release::IfMounted) {
            Ok(_) => {}
            Err(error) if error.kind() == Kind::LayerNotMounted => strays += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(strays)
}
