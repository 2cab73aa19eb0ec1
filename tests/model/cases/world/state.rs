//! Everything that outlives a process: names and nodes, open files and their locks, mounts, views.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use storage_core::fs::Protocol;
use storage_core::lockfile::Mode;

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
    /// Mount namespaces that outlive the processes that die in them.
    pub(crate) kept: BTreeSet<usize>,
    /// Views of directories, and whose they are.
    pub(super) views: Vec<(u64, usize)>,
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

    pub(super) fn close(&mut self, description: u64) {
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

    pub(super) fn die(&mut self, process: usize, namespace: usize) {
        let closed: Vec<_> =
            self.open.iter().filter(|(_, open)| open.process == process).map(|(description, _)| *description).collect();
        for description in closed {
            self.close(description);
        }
        self.views.retain(|(_, owner)| *owner != process);
        if namespace != 0 && !self.kept.contains(&namespace) {
            // Nobody else is in it.
            self.mounts.retain(|(of, _), _| *of != namespace);
        }
    }
}
