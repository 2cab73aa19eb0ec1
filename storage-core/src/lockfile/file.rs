//! Taking and holding a lock file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::holder::{self, Holder, LockFiles};
use super::{LastWrite, LockWait, Mode, Wait};
use crate::error::{Error, Kind, Result};
use crate::fs::{Disk, Files, Opening, Protocol};
use crate::record::{self, Held, Patience};

/// Whether a lock file may be written, and so held exclusively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The store may be changed.
    ReadWrite,
    /// The store may only be read; the file is opened for reading, so no permission to write is needed.
    ReadOnly,
}

/// The first and the longest pause between two tries of a wait with a deadline.
const PAUSES: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(10));
/// How often a lock file that is being replaced is opened again.
const REOPENS: usize = 100;

/// A lock file, not held. Many holds of it may exist at once, as far as their modes agree.
#[derive(Clone, Debug)]
pub struct LockFile<F: LockFiles = Disk> {
    files: F,
    path: PathBuf,
    access: Access,
    turn: Option<PathBuf>,
}

/// One hold of a lock file. Dropping it releases the lock.
#[derive(Debug)]
#[must_use = "dropping a hold releases the lock at once"]
pub struct Hold<F: Files = Disk> {
    file: F::File,
    /// Behind the descriptor, so that it is dropped after it.
    _noted: Held,
    files: F,
    path: PathBuf,
    mode: Mode,
}

impl LockFile {
    /// The lock file at `path`, which is made when first taken.
    pub fn new(path: impl Into<PathBuf>, access: Access) -> Self {
        LockFile::among(Disk, path, access)
    }
}

impl<F: LockFiles> LockFile<F> {
    /// The lock file at `path` among `files`, which is made when first taken.
    pub fn among(files: F, path: impl Into<PathBuf>, access: Access) -> Self {
        LockFile { files, path: path.into(), access, turn: None }
    }

    /// Lets waiting writers go before new readers, by a turn on the file `turn`, which only Lamina knows.
    pub fn with_turn(mut self, turn: impl Into<PathBuf>) -> Self {
        self.turn = Some(turn.into());
        self
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock in `mode`, waiting as long as `wait` says.
    ///
    /// Fails with [`Kind::Locked`] at the deadline, naming the holders; with [`Kind::ReadOnlyStore`] when an exclusive hold
    /// of a read-only file is wanted.
    pub fn acquire(&self, mode: Mode, wait: &Wait) -> Result<Hold<F>> {
        let started = Instant::now();
        // A limit beyond what time can say is none.
        let deadline = wait.limit().and_then(|limit| started.checked_add(limit));
        let turn = self.take_turn(mode, wait, deadline)?;
        for _ in 0..REOPENS {
            let file = self.open(mode)?;
            let noted = self.note(&file, mode, Patience::Waits);
            self.lock(&file, mode, wait, started, deadline)?;
            let hold = self.hold(file, mode, noted);
            if self.is_current(&hold.file)? {
                drop(turn);
                return Ok(hold);
            }
        }
        Err(Error::new(Kind::Locked, "lock").at(&self.path).detail("the file is being replaced all the time"))
    }

    /// Takes the lock in `mode` if nobody is in the way.
    pub fn try_acquire(&self, mode: Mode) -> Result<Option<Hold<F>>> {
        for _ in 0..REOPENS {
            let file = self.open(mode)?;
            let noted = self.note(&file, mode, Patience::Tries);
            if !self.files.try_lock(&file, &self.path, Protocol::Record, mode)? {
                return Ok(None);
            }
            let hold = self.hold(file, mode, noted);
            if self.is_current(&hold.file)? {
                return Ok(Some(hold));
            }
        }
        Ok(None)
    }

    /// Who would keep a lock of `mode` from being taken now, as far as can be seen.
    pub fn holders(&self, mode: Mode) -> Result<Vec<Holder>> {
        Ok(self.files.holders(&self.open(Mode::Shared)?, mode))
    }

    fn note(&self, file: &F::File, mode: Mode, patience: Patience) -> Held {
        Held::wanted(|| self.files.descriptor(file), &self.path, mode, patience)
    }

    fn hold(&self, file: F::File, mode: Mode, noted: Held) -> Hold<F> {
        Hold { file, _noted: noted.taken(), files: self.files.clone(), path: self.path.clone(), mode }
    }

    fn lock(&self, file: &F::File, mode: Mode, wait: &Wait, started: Instant, deadline: Option<Instant>) -> Result<()> {
        let attempt = || self.files.try_lock(file, &self.path, Protocol::Record, mode);
        if attempt()? {
            return Ok(());
        }
        wait.watch(self.reporter(mode), || match deadline {
            None => self.files.lock(file, &self.path, Protocol::Record, mode),
            Some(deadline) if poll(deadline, attempt)? => Ok(()),
            Some(_) => Err(self.gave_up(mode, started.elapsed(), &self.files.holders(file, mode))),
        })
    }

    /// A writer keeps the turn until it has the lock; a reader waits while a writer has the turn.
    fn take_turn(&self, mode: Mode, wait: &Wait, deadline: Option<Instant>) -> Result<Option<F::File>> {
        let Some(path) = &self.turn else { return Ok(None) };
        let turn = match self.files.open(path, Opening::Turn) {
            Ok(turn) => turn,
            Err(error) if error.errno() == Some(libc::ENOENT) => {
                self.make_parent(path)?;
                self.files.open(path, Opening::Turn)?
            }
            // The turn is a courtesy: without one the lock still excludes.
            Err(_) => return Ok(None),
        };
        let attempt = || self.files.try_lock(&turn, path, Protocol::Own, mode);
        if !attempt()? {
            wait.watch(self.reporter(mode), || match deadline {
                Some(deadline) => poll(deadline, attempt).map(drop),
                None => self.files.lock(&turn, path, Protocol::Own, mode),
            })?;
        }
        Ok((mode == Mode::Exclusive).then_some(turn))
    }

    /// What is told of a long wait for this lock.
    fn reporter(&self, mode: Mode) -> impl FnOnce(Duration) -> LockWait + Send + 'static {
        let lock = self.clone();
        // The holders are asked for through another description: this one's may be the lock by then.
        move |waited| LockWait { mode, waited, holders: lock.holders(mode).unwrap_or_default(), path: lock.path }
    }

    fn open(&self, mode: Mode) -> Result<F::File> {
        let writable = self.access == Access::ReadWrite;
        if mode == Mode::Exclusive && !writable {
            return Err(Error::new(Kind::ReadOnlyStore, "lock for writing").at(&self.path));
        }
        let opening = if writable { Opening::Lock } else { Opening::LockForReading };
        match self.files.open(&self.path, opening) {
            Err(error) if error.kind() == Kind::NotFound && writable => {
                self.make_parent(&self.path)?;
                self.files.open(&self.path, opening)
            }
            other => other,
        }
        .map_err(|error| match error.kind() {
            Kind::Permission => error.remedy("run as the owner of the store, or give --graph and --run of your own"),
            Kind::ReadOnlyStore => error.remedy("the filesystem is read-only: mount it writable"),
            _ => error,
        })
    }

    /// Whether what was locked is what others find at the path.
    fn is_current(&self, file: &F::File) -> Result<bool> {
        Ok(self.files.id_at(&self.path)? == Some(self.files.id_of(file, &self.path)?))
    }

    fn make_parent(&self, path: &Path) -> Result<()> {
        self.files.make_directories(path.parent().unwrap_or(Path::new("/")))
    }

    fn gave_up(&self, mode: Mode, waited: Duration, holders: &[Holder]) -> Error {
        Error::new(Kind::Locked, "lock")
            .at(&self.path)
            .detail(format!(
                "not to be had ({}) within {:.1} s; held by {}",
                mode.name(),
                waited.as_secs_f32(),
                holder::in_words(holders)
            ))
            .remedy("wait for that process, or give more time")
    }
}

impl<F: Files> Hold<F> {
    /// How the lock is held.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Who wrote last.
    pub fn last_write(&self) -> Result<LastWrite> {
        LastWrite::read(|buffer, offset| self.files.read_at(&self.file, &self.path, buffer, offset))
    }

    /// Records a write of ours, so that every other process knows that what it read may be out of date. Done before the
    /// change itself (R4). Fails with [`Kind::LockMisuse`] when the lock is held for reading only.
    pub fn record_write(&self) -> Result<LastWrite> {
        if self.mode != Mode::Exclusive {
            return Err(Error::new(Kind::LockMisuse, "record a write").at(&self.path).detail("held for reading only"));
        }
        let record = LastWrite::fresh()?;
        self.files.write_start(&self.file, &self.path, record.bytes())?;
        record::wrote(&self.path);
        Ok(record)
    }
}

/// Tries again and again with growing pauses; `false` when the deadline has passed.
fn poll(deadline: Instant, mut attempt: impl FnMut() -> Result<bool>) -> Result<bool> {
    let (mut pause, longest) = PAUSES;
    loop {
        if attempt()? {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause.min(deadline - now));
        pause = (pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, LockFile) {
        let dir = tempfile::tempdir().expect("dir");
        let lock = LockFile::new(dir.path().join("sub/x.lock"), Access::ReadWrite);
        (dir, lock)
    }

    #[test]
    fn writers_exclude_and_readers_share() {
        let (_dir, lock) = scratch();
        let writer = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        assert!(lock.try_acquire(Mode::Shared).expect("try").is_none(), "a reader got in beside a writer");
        drop(writer);
        let reader = lock.acquire(Mode::Shared, &Wait::forever()).expect("free");
        let second = lock.try_acquire(Mode::Shared).expect("try").expect("readers share");
        assert!(lock.try_acquire(Mode::Exclusive).expect("try").is_none(), "a writer got in beside readers");
        drop((reader, second));
    }

    #[test]
    fn a_deadline_ends_the_wait_and_names_the_holder() {
        let (_dir, lock) = scratch();
        let _held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        let error = lock.acquire(Mode::Shared, &Wait::at_most(Duration::from_millis(20))).expect_err("held");
        assert_eq!(error.kind(), Kind::Locked);
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "the holder isn't named: {text}");
    }

    #[test]
    fn a_replaced_lock_file_is_opened_again() {
        let (_dir, lock) = scratch();
        let stale = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        std::fs::remove_file(lock.path()).expect("unlink");
        std::fs::write(lock.path(), "").expect("another file");
        let held = lock.acquire(Mode::Exclusive, &Wait::at_most(Duration::from_secs(5))).expect("the new file is free");
        assert!(lock.try_acquire(Mode::Shared).expect("try").is_none(), "the lock at the path isn't held");
        drop((stale, held));
    }

    #[test]
    fn a_record_is_64_bytes_new_each_time_and_never_means_nobody_wrote() {
        let (_dir, lock) = scratch();
        let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        assert_eq!(held.last_write().expect("read"), LastWrite::NEVER);
        let first = held.record_write().expect("write");
        assert_eq!(held.last_write().expect("read"), first);
        assert_ne!(held.record_write().expect("write"), first);
        assert_eq!(std::fs::metadata(lock.path()).expect("stat").len(), 64);
        drop(held);
        let reader = lock.acquire(Mode::Shared, &Wait::forever()).expect("free");
        assert_eq!(reader.record_write().map_err(|error| error.kind()), Err(Kind::LockMisuse));
    }

    #[test]
    fn a_read_only_lock_file_is_never_held_for_writing() {
        let (_dir, lock) = scratch();
        drop(lock.acquire(Mode::Shared, &Wait::forever()).expect("make it"));
        let read_only = LockFile::new(lock.path(), Access::ReadOnly);
        assert!(read_only.acquire(Mode::Shared, &Wait::forever()).is_ok());
        let error = read_only.acquire(Mode::Exclusive, &Wait::forever()).expect_err("read-only");
        assert_eq!(error.kind(), Kind::ReadOnlyStore);
    }

    #[test]
    fn overlapping_readers_let_a_waiting_writer_in() {
        let dir = tempfile::tempdir().expect("dir");
        let lock = LockFile::new(dir.path().join("x.lock"), Access::ReadWrite).with_turn(dir.path().join("turn"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let first = lock.acquire(Mode::Shared, &Wait::forever()).expect("free");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let hold = lock.acquire(Mode::Shared, &Wait::forever()).expect("reader");
                        std::thread::sleep(Duration::from_millis(5));
                        drop(hold);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(20));
            drop(first);
            let written = lock.acquire(Mode::Exclusive, &Wait::at_most(Duration::from_secs(20)));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(written.is_ok(), "readers kept the writer out: {written:?}");
        });
    }

    #[test]
    fn a_long_wait_is_noticed_while_it_goes_on() {
        let (_dir, lock) = scratch();
        let held = lock.acquire(Mode::Exclusive, &Wait::forever()).expect("free");
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = parking_lot::Mutex::new(sender);
        let notice = std::sync::Arc::new(move |wait: &LockWait| {
            let _ = sender.lock().send(wait.holders.len());
        });
        std::thread::scope(|scope| {
            let waiter =
                scope.spawn(|| lock.acquire(Mode::Shared, &Wait::forever().noticing(Duration::from_millis(5), notice)));
            assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(1), "nobody was told of the wait");
            drop(held);
            assert!(waiter.join().expect("no panic").is_ok());
        });
    }
}
