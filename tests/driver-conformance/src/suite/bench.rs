//! What a case works with.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use storage_core::Result;
use storage_core::driver::{Capability, Descriptor, Request, Roots};

use super::check::{Checked, Step};
use super::store::Store;
use super::worker::{Worker, Workers};
use crate::grounds::Grounds;

/// The place of one case.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) descriptor: Descriptor,
    pub(super) grounds: Arc<Grounds>,
    pub(super) workers: Arc<Workers>,
    /// The name of the case's own directories.
    pub(super) name: String,
    stores: AtomicU32,
}

impl Bench {
    pub(super) fn new(descriptor: Descriptor, grounds: Arc<Grounds>, workers: Arc<Workers>, case: &str) -> Self {
        Bench { descriptor, grounds, workers, name: case.replace("::", "."), stores: AtomicU32::new(0) }
    }

    /// The roots of a new store.
    pub(super) fn roots(&self) -> Result<Roots> {
        let number = self.stores.fetch_add(1, Ordering::Relaxed);
        self.grounds.roots(&format!("{}.{number}", self.name))
    }

    /// What the driver is told of the roots.
    pub(super) fn request(&self, roots: &Roots, options: &[(&str, &str)]) -> Result<Request> {
        let mut request = Request::new(roots, self.descriptor.name, &[])?;
        request.options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(request)
    }

    /// A new store.
    pub(super) fn store(&self) -> Result<Store> {
        self.store_on(&self.roots()?)
    }

    /// A store on these roots.
    pub(super) fn store_on(&self, roots: &Roots) -> Result<Store> {
        Store::open(&self.descriptor, self.request(roots, &[])?)
    }

    /// Starts a process that does `job` in the store.
    pub(super) fn worker(&self, store: &Store, job: &[&str]) -> Checked<Worker> {
        let mut command = self.workers.command();
        command.arg(&store.request.home).arg(&store.request.run_home).args(job);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Worker::of(piped.spawn().step("start a worker", Path::new(job[0]))?))
    }
}

/// How many layers make a deep chain: as many as a stack is deep in practice, or as a copier can afford.
pub(super) fn depth(store: &Store) -> usize {
    if store.gate().parents_may_come_late() { 128 } else { 20 }
}

/// Whether the driver has declared it.
pub(super) fn has(store: &Store, capability: Capability) -> bool {
    store.gate().capabilities().has(capability)
}
