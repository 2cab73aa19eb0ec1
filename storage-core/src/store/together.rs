//! Importing several layers of a chain at the same time.
//!
//! All of them are begun in staging under one shared hold. Threads fill them, from the bottom up, without a lock. This
//! thread puts them in place in order: as soon as one is full and its parent is there, it learns its parent and becomes a
//! layer. After a failure no further one is begun, and those at work end at their next read.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};

use super::Store;
use super::chain::{ChainLayer, Chained, new_layer};
use super::create::{LayerPlan, NewLayer, ParentComes};
use super::import::{Content, Digests, Filled};
use super::lease::Lease;
use crate::driver::Staged;
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;
use crate::task::Task;

/// A layer with its number in the chain, and what became of it.
type Done = (usize, Result<Filled>);

impl Store {
    /// Imports `layers`, none of which is there, upon `parent`.
    pub(super) fn import_together(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        parent: Option<&str>,
        layers: &[ChainLayer<'_>],
        task: &Task,
    ) -> Result<Vec<Chained>> {
        let news = new_layers(parent, layers)?;
        let mut plans = Vec::new();
        let mut staged = Vec::new();
        for (number, new) in news.iter().enumerate() {
            let mut plan = self.plan_leased(lease, new)?;
            let comes = if number == 0 { ParentComes::First } else { ParentComes::Late };
            match self.begin(key, &mut plan, comes) {
                Ok(begun) => staged.push(begun),
                // Somebody makes them too: they are looked for once more, one by one.
                Err(error) if error.kind() == Kind::DuplicateId => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
            plans.push(plan);
        }
        let stop = AtomicBool::new(false);
        let queue = Mutex::new(staged.into_iter().enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(layers.len());
        std::thread::scope(|scope| {
            let (sender, done) = mpsc::channel();
            for _ in 0..workers {
                let (sender, next, stop) = (sender.clone(), &next, &stop);
                scope.spawn(move || {
                    while let Some((number, staged)) = next().filter(|_| !stop.load(Ordering::Relaxed)) {
                        let filled = self.fill_one(staged, &layers[number], stop, task);
                        let _ = sender.send((number, filled.map_err(|error| in_layer(error, &layers[number]))));
                    }
                });
            }
            drop(sender);
            let chain = self.put_in_order(key, lease, &mut plans, layers, &done);
            stop.store(true, Ordering::Relaxed);
            chain
        })
    }

    fn fill_one(
        &self,
        staged: Box<dyn Staged>,
        layer: &ChainLayer<'_>,
        stop: &AtomicBool,
        task: &Task,
    ) -> Result<Filled> {
        let archive = Stoppable { archive: (layer.open)()?, stop };
        let digests = Digests { blob: layer.digest, diff: layer.diff_digest };
        self.fill(staged, Content::Known(Box::new(archive), digests), task)
    }

    fn put_in_order(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        plans: &mut [LayerPlan<'_>],
        layers: &[ChainLayer<'_>],
        done: &Receiver<Done>,
    ) -> Result<Vec<Chained>> {
        let mut chain: Vec<Chained> = Vec::new();
        let mut full: BTreeMap<usize, Filled> = BTreeMap::new();
        while chain.len() < layers.len() {
            let (number, filled) = done.recv().map_err(|_| ended_early())?;
            full.insert(number, filled?);
            while let Some(filled) = full.remove(&chain.len()) {
                let number = chain.len();
                let put = self.put_one(key, lease, &mut plans[number], &layers[number], filled);
                chain.push(put.map_err(|error| in_layer(error, &layers[number]))?);
            }
        }
        Ok(chain)
    }

    fn put_one(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        plan: &mut LayerPlan<'_>,
        layer: &ChainLayer<'_>,
        mut filled: Filled,
    ) -> Result<Chained> {
        if plan.is_without_parent() {
            self.settle(key, plan, &mut filled)?;
        }
        match self.commit_one(key, plan, &mut filled) {
            // Somebody made it meanwhile; if not, others' parts are in the way.
            Err(error) if error.kind() == Kind::DuplicateId => {
                self.find_in_chain(key, lease, plan.new.parent.as_deref(), layer.diff_digest)?.ok_or(error)
            }
            other => other,
        }
    }
}

/// What is to be made of a chain upon `parent`.
fn new_layers(parent: Option<&str>, layers: &[ChainLayer<'_>]) -> Result<Vec<NewLayer>> {
    let mut news: Vec<NewLayer> = Vec::new();
    for layer in layers {
        let below = news.last().and_then(|new| new.id.as_ref()).map(|id| id.as_str().to_owned());
        news.push(new_layer(below.as_deref().or(parent), layer)?);
    }
    Ok(news)
}

fn in_layer(error: Error, layer: &ChainLayer<'_>) -> Error {
    error.detail(format!("in the layer {}", layer.diff_digest))
}

/// A thread ended without saying how: it panicked.
fn ended_early() -> Error {
    Error::new(Kind::Io, "import layers").detail("a thread that fills layers ended early")
}

/// An archive that is read to its end only as long as nothing else failed.
struct Stoppable<'s> {
    archive: Box<dyn Read + Send>,
    stop: &'s AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other(Error::new(Kind::Cancelled, "import layers")));
        }
        self.archive.read(buffer)
    }
}
