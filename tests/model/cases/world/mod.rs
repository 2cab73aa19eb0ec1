//! The simulated world: files, locks, mounts, and processes that may die at any step.
//!
//! Every operation is one or more steps. At a step another thread may be chosen to go on, and the process may die: then its
//! locks are released and its files closed at once, and every further call of it, drops included, does nothing.

mod fault;
mod seam;
mod state;
mod view;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use storage_core::{Error, Kind, Result};

use crate::raw::{Pulse, Queue, plain};

pub(crate) use fault::Fault;
pub(crate) use state::State;

pub(crate) const LOCK_SUFFIX: &str = ".lock";

/// One world.
#[derive(Debug, Default)]
pub(crate) struct Universe {
    state: Mutex<State>,
    queue: Queue,
    pulse: Pulse,
    processes: AtomicU64,
}

impl Universe {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        plain(&self.state)
    }

    /// A new process.
    pub(crate) fn process(self: &Arc<Self>) -> Sim {
        let number = self.processes.fetch_add(1, Ordering::Relaxed) as usize + 1;
        let process = Process { number, namespace: 0, steps: AtomicU64::new(0), dies_at: None, ..Process::default() };
        Sim { universe: Arc::clone(self), process: Arc::new(process), fault: Fault::None }
    }
}

#[derive(Debug, Default)]
struct Process {
    number: usize,
    namespace: usize,
    dead: AtomicBool,
    steps: AtomicU64,
    dies_at: Option<u64>,
    /// A last-writer record that waits for the file of records ([`Fault::RecordsBeforeLastWriter`]).
    held_back: Mutex<Vec<(u64, Vec<u8>)>>,
    /// A file that waits for its name ([`Fault::PublishedBeforeSaved`]).
    unnamed: Mutex<Option<(PathBuf, PathBuf, u64)>>,
    /// A retry is on ([`Fault::StaleAfterRetry`]).
    retrying: AtomicBool,
}

/// The world as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) universe: Arc<Universe>,
    process: Arc<Process>,
    pub(crate) fault: Fault,
}

/// An open file description.
#[derive(Debug)]
pub(crate) struct SimFile {
    world: Sim,
    pub(crate) description: u64,
    pub(crate) node: u64,
    pub(crate) path: PathBuf,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if self.world.is_dead() {
            return;
        }
        if self.path.extension().is_some_and(|extension| extension == &LOCK_SUFFIX[1..]) {
            if self.world.step().is_err() {
                return;
            }
            self.world.name_unnamed();
        }
        self.world.universe.state().close(self.description);
        self.world.universe.queue.wake();
    }
}

/// The version of a file.
#[derive(Debug)]
pub(crate) enum SimSeen {
    /// Held open, so that nothing else can have its number.
    Held(SimFile),
    /// Its number, and what the last-writer record was ([`Fault::JudgedByNumber`]).
    Number(u64, Vec<u8>),
}

impl Sim {
    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    fn changed(mut self, change: impl FnOnce(&mut Process)) -> Self {
        if let Some(process) = Arc::get_mut(&mut self.process) {
            change(process);
        }
        self
    }

    /// Dies at its step `step`.
    pub(crate) fn dying_at(self, step: Option<u64>) -> Self {
        self.changed(|process| process.dies_at = step)
    }

    /// Lives in a mount namespace of its own.
    pub(crate) fn in_namespace(self, namespace: usize) -> Self {
        self.changed(|process| process.namespace = namespace)
    }

    pub(crate) fn namespace(&self) -> usize {
        self.process.namespace
    }

    pub(crate) fn number(&self) -> usize {
        self.process.number
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.process.dead.load(Ordering::Relaxed)
    }

    /// Another thread may go on here, and the process may die here. Fails in a dead process.
    pub(crate) fn step(&self) -> Result<()> {
        if !std::thread::panicking() {
            self.universe.pulse.beat();
        }
        if !self.is_dead() {
            let step = self.process.steps.fetch_add(1, Ordering::Relaxed) + 1;
            if self.process.dies_at == Some(step) {
                self.process.dead.store(true, Ordering::Relaxed);
                self.universe.state().die(self.process.number, self.process.namespace);
                self.universe.queue.wake();
            }
        }
        if self.is_dead() { Err(Error::new(Kind::Cancelled, "go on").detail("the process is dead")) } else { Ok(()) }
    }

    /// Waits until `attempt` succeeds. Fails in a dead process.
    pub(crate) fn wait_for(&self, mut attempt: impl FnMut(&mut State) -> bool) -> Result<()> {
        loop {
            self.step()?;
            if attempt(&mut self.universe.state()) {
                return Ok(());
            }
            self.universe.queue.wait();
        }
    }

    pub(crate) fn opened(&self, state: &mut State, node: u64, path: &Path) -> SimFile {
        let description = state.open(node, self.process.number);
        SimFile { world: self.clone(), description, node, path: path.to_path_buf() }
    }

    pub(crate) fn no_such(path: &Path) -> Error {
        Error::os("open", path, std::io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// What the lock file beside `path` says of the last writer.
    fn last_writer_beside(state: &State, path: &Path) -> Vec<u8> {
        state.at(&path.with_extension(&LOCK_SUFFIX[1..])).map(|node| node.bytes.clone()).unwrap_or_default()
    }

    fn seen(&self, state: &mut State, node: u64, path: &Path) -> SimSeen {
        if self.fault == Fault::JudgedByNumber {
            let number = state.nodes.get(&node).map_or(0, |node| node.number);
            return SimSeen::Number(number, Self::last_writer_beside(state, path));
        }
        SimSeen::Held(self.opened(state, node, path))
    }

    /// Gives a name to the file that waits for it.
    fn name_unnamed(&self) {
        if let Some((temporary, path, node)) = plain(&self.process.unnamed).take() {
            let mut state = self.universe.state();
            state.link(&path, node);
            state.unlink(&temporary);
            let bytes = state.at(&path).map(|node| node.bytes.clone()).unwrap_or_default();
            state.history.entry(path).or_default().push(bytes);
        }
    }

    /// Writes to a file's beginning; the last-writer record may be held back.
    pub(crate) fn write_node(&self, node: u64, bytes: &[u8]) {
        if self.fault == Fault::RecordsBeforeLastWriter {
            plain(&self.process.held_back).push((node, bytes.to_vec()));
        } else if let Some(node) = self.universe.state().nodes.get_mut(&node) {
            node.bytes = bytes.to_vec();
        }
    }

    /// The scenario retries with another lock; whether from now on what was read is believed depends on the fault.
    pub(crate) fn retrying(&self, retrying: bool) {
        self.process.retrying.store(retrying, Ordering::Relaxed);
    }

    /// Replaces a file atomically, in two steps.
    pub(crate) fn replace_file(&self, path: &Path, bytes: &[u8]) -> Result<SimSeen> {
        self.step()?;
        let temporary = path.with_file_name(format!(".tmp-{}", path.file_name().unwrap_or_default().to_string_lossy()));
        let node = self.universe.state().make(&temporary, false, bytes.to_vec());
        let seen = self.seen(&mut self.universe.state(), node, path);
        self.step()?;
        let mut state = self.universe.state();
        if self.fault == Fault::PublishedBeforeSaved {
            *plain(&self.process.unnamed) = Some((temporary, path.to_path_buf(), node));
            return Ok(seen);
        }
        state.link(path, node);
        state.unlink(&temporary);
        state.history.entry(path.to_path_buf()).or_default().push(bytes.to_vec());
        drop(state);
        let held_back = std::mem::take(&mut *plain(&self.process.held_back));
        if !held_back.is_empty() {
            self.step()?;
            for (node, bytes) in held_back {
                if let Some(node) = self.universe.state().nodes.get_mut(&node) {
                    node.bytes = bytes;
                }
            }
        }
        Ok(seen)
    }
}
