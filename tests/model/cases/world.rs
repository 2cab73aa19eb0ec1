//! The simulated world: files, locks, mounts, and processes that may die at any step.
//!
//! Every operation is one or more steps. At a step another thread may be chosen to go on, and the process may die: then its
//! locks are released and its files closed at once, and every further call of it, drops included, does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use storage_core::fs::Protocol;
use storage_core::lockfile::Mode;
use storage_core::locks::{Flush, World};
use storage_core::{Error, Kind, Result};

use crate::raw::{Pulse, Queue, Raw, plain};

/// What is broken on purpose, so that the model can be seen to find it. All of it is of this world, none of the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The last-writer record is written after the file of records, as versions before 1.48 do.
    RecordsBeforeLastWriter,
    /// A version of a file is known by its inode number and the last-writer record, and not kept open.
    JudgedByNumber,
    /// After a lock file is locked, it is taken to be the one at its path.
    LockFileNotCompared,
    /// The same with the lock of a staging place.
    PlaceNotCompared,
    /// What was read before a retry is taken for current after it.
    StaleAfterRetry,
    /// A save ends before the file has its name, which it gets when the lock is released.
    PublishedBeforeSaved,
    /// A count is read, and acted upon under a lock that was taken after. The scenario's own step is what is broken.
    CountBeforeLock,
    /// A mount is made after it was counted and the intent was taken back.
    CountedBeforeMounted,
}

pub(crate) const LOCK_SUFFIX: &str = ".lock";

#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The inode number, which another node gets when this one is gone.
    pub(crate) number: u64,
    pub(crate) links: u32,
    pub(crate) opens: u32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) directory: bool,
}

#[derive(Debug)]
struct Lock {
    node: u64,
    description: u64,
    protocol: Protocol,
    mode: Mode,
}

#[derive(Debug)]
struct Open {
    node: u64,
    process: usize,
}

/// Everything that outlives a process.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) names: BTreeMap<PathBuf, u64>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    open: BTreeMap<u64, Open>,
    locks: Vec<Lock>,
    next: u64,
    /// Layers that are mounted, by mount namespace.
    pub(crate) mounts: BTreeMap<(usize, String), u32>,
    /// Views of directories, and whose they are.
    views: Vec<(u64, usize)>,
    /// Every version that a file of records ever had at its path.
    pub(crate) history: BTreeMap<PathBuf, Vec<Vec<u8>>>,
}

impl State {
    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(self.names.get(path)?)
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Makes a node with the lowest number that is free, and gives it a name.
    pub(crate) fn make(&mut self, path: &Path, directory: bool, bytes: Vec<u8>) -> u64 {
        let taken: BTreeSet<_> = self.nodes.values().map(|node| node.number).collect();
        let number = (1..=u64::MAX).find(|number| !taken.contains(number)).unwrap_or_default();
        let key = self.fresh();
        self.nodes.insert(key, Node { number, links: 0, opens: 0, bytes, directory });
        self.link(path, key);
        key
    }

    pub(crate) fn link(&mut self, path: &Path, key: u64) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.links += 1;
        }
        if let Some(former) = self.names.insert(path.to_path_buf(), key) {
            self.unlinked(former);
        }
    }

    pub(crate) fn unlink(&mut self, path: &Path) -> bool {
        let Some(key) = self.names.remove(path) else { return false };
        self.unlinked(key);
        true
    }

    fn unlinked(&mut self, key: u64) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.links -= 1;
        }
        self.forget_unused(key);
    }

    fn forget_unused(&mut self, key: u64) {
        if self.nodes.get(&key).is_some_and(|node| node.links == 0 && node.opens == 0) {
            self.nodes.remove(&key);
        }
    }

    pub(crate) fn open(&mut self, node: u64, process: usize) -> u64 {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.opens += 1;
        }
        let description = self.fresh();
        self.open.insert(description, Open { node, process });
        description
    }

    fn close(&mut self, description: u64) {
        let Some(open) = self.open.remove(&description) else { return };
        self.locks.retain(|lock| lock.description != description);
        if let Some(node) = self.nodes.get_mut(&open.node) {
            node.opens -= 1;
        }
        self.forget_unused(open.node);
    }

    pub(crate) fn try_lock(&mut self, description: u64, protocol: Protocol, mode: Mode) -> bool {
        let Some(node) = self.open.get(&description).map(|open| open.node) else { return false };
        let in_the_way = |lock: &Lock| {
            lock.node == node
                && lock.protocol == protocol
                && lock.description != description
                && (mode == Mode::Exclusive || lock.mode == Mode::Exclusive)
        };
        if self.locks.iter().any(in_the_way) {
            return false;
        }
        self.locks.push(Lock { node, description, protocol, mode });
        true
    }

    pub(crate) fn below(&self, path: &Path) -> Vec<PathBuf> {
        self.names.keys().filter(|name| name.starts_with(path)).cloned().collect()
    }

    fn die(&mut self, process: usize, namespace: usize) {
        let closed: Vec<_> =
            self.open.iter().filter(|(_, open)| open.process == process).map(|(description, _)| *description).collect();
        for description in closed {
            self.close(description);
        }
        self.views.retain(|(_, owner)| *owner != process);
        if namespace != 0 {
            // Nobody else is in it.
            self.mounts.retain(|(of, _), _| *of != namespace);
        }
    }
}

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

    /// A view of the directory at `path`, which ends when it is dropped.
    pub(crate) fn view(&self, path: &Path) -> Result<View> {
        self.step()?;
        let mut state = self.universe.state();
        let node = *state.names.get(path).ok_or_else(|| Self::no_such(path))?;
        state.views.push((node, self.process.number));
        Ok(View { world: self.clone(), node })
    }

    pub(crate) fn is_viewed_at(&self, path: &Path) -> bool {
        let state = self.universe.state();
        state.names.get(path).is_some_and(|node| state.views.iter().any(|(viewed, _)| viewed == node))
    }
}

/// A sight of a directory wherever it is renamed to.
#[derive(Debug)]
pub(crate) struct View {
    world: Sim,
    node: u64,
}

impl View {
    /// The names in the directory now.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.world.step()?;
        let state = self.world.universe.state();
        let root = state.names.iter().find(|(_, node)| **node == self.node).map(|(path, _)| path.clone());
        let Some(root) = root else { return Ok(Vec::new()) };
        let inside = state.names.keys().filter(|path| path.parent() == Some(&root));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if !self.world.is_dead() {
            let mut state = self.world.universe.state();
            let mine = |(node, process): &(u64, usize)| *node == self.node && *process == self.world.number();
            if let Some(place) = state.views.iter().position(mine) {
                state.views.remove(place);
            }
        }
    }
}

impl World for Sim {
    type Files = Sim;
    type Raw = Raw;
    type Seen = SimSeen;

    fn read(&self, path: &Path) -> Result<Option<(Vec<u8>, SimSeen)>> {
        self.step()?;
        let mut state = self.universe.state();
        let Some(node) = state.names.get(path).copied() else { return Ok(None) };
        let bytes = state.nodes.get(&node).map(|node| node.bytes.clone()).unwrap_or_default();
        let seen = self.seen(&mut state, node, path);
        Ok(Some((bytes, seen)))
    }

    fn is_current(&self, path: &Path, seen: Option<&SimSeen>) -> Result<bool> {
        self.step()?;
        let state = self.universe.state();
        if self.fault == Fault::StaleAfterRetry && self.process.retrying.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if self.fault == Fault::PublishedBeforeSaved
            && let (Some(SimSeen::Held(file)), Some((_, _, node))) = (seen, &*plain(&self.process.unnamed))
            && file.node == *node
        {
            return Ok(true);
        }
        let there = state.names.get(path).and_then(|node| state.nodes.get(node).map(|found| (node, found)));
        Ok(match (there, seen) {
            (None, None) => true,
            (Some((_, found)), Some(SimSeen::Number(number, writer))) => {
                found.number == *number && Self::last_writer_beside(&state, path) == *writer
            }
            (Some((node, _)), Some(SimSeen::Held(file))) => *node == file.node,
            _ => false,
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8], _flush: Flush) -> Result<SimSeen> {
        self.replace_file(path, bytes)
    }

    fn flush_directory(&self, _path: &Path) -> Result<()> {
        Ok(())
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        self.step()?;
        self.universe.state().unlink(path);
        Ok(())
    }

    fn pause(&self, _length: Duration) {
        shuttle::thread::yield_now();
    }
}
