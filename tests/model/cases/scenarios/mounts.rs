//! Mount counting: what is counted is mounted, what is mounted is counted, whoever died on the way (R3, R4, R8).

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use storage_core::driver::{Mounting, Shared};
use storage_core::lockfile::Wait;
use storage_core::locks::counting::{Apart, Counting, Counts, Mountable, Release, write_counts};
use storage_core::locks::level::{Layers, Mounts};
use storage_core::locks::{Guarded, StoreId, Words};
use storage_core::{Error, Kind, Result};

use super::{join, key, level, processes, thread};
use crate::explore::violate;
use crate::raw::plain;
use crate::tables::Lines;
use crate::world::{Fault, Sim, Universe};

/// The layer that everybody mounts.
const LAYER: &str = "layer";

/// One process's open store.
struct Store {
    world: Sim,
    layers: Guarded<Layers, Lines, Sim>,
    mounts: Guarded<Mounts, Lines, Sim>,
    words: Words<Sim, Apart>,
    /// A process may end with its mounts, which nobody sees but by looking everywhere.
    has_namespaces: bool,
}

/// How many mounts were acknowledged and not given back.
type Ghost = Arc<Mutex<i64>>;

/// A layer before a simulated kernel.
struct OneLayer<'a> {
    world: &'a Sim,
    id: String,
    /// [`Fault::CountedBeforeMounted`]: the mount is made by [`OneLayer::catch_up`].
    is_late: bool,
}

impl OneLayer<'_> {
    fn here(&self) -> (usize, String) {
        (self.world.namespace(), self.id.clone())
    }

    fn attach_now(&self) -> Result<()> {
        self.world.step()?;
        self.world.universe.state().mounts.insert(self.here(), 1);
        Ok(())
    }

    fn catch_up(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_late) { self.attach_now() } else { Ok(()) }
    }
}

impl Mountable for OneLayer<'_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn place(&self) -> Result<PathBuf> {
        Ok(PathBuf::from("/home/merged"))
    }

    fn has_kernel_mounts(&self) -> bool {
        true
    }

    fn is_mounted(&self, _held: &Shared<'_>) -> Result<bool> {
        self.world.step()?;
        Ok(self.world.universe.state().mounts.contains_key(&self.here()))
    }

    fn attach(&mut self, _held: &mut Mounting<'_>) -> Result<PathBuf> {
        if self.world.fault == Fault::CountedBeforeMounted {
            self.is_late = true;
        } else {
            self.attach_now()?;
        }
        self.place()
    }

    fn detach(&mut self, _held: &mut Mounting<'_>) -> Result<()> {
        self.world.step()?;
        self.world.universe.state().mounts.remove(&self.here());
        Ok(())
    }

    fn check_gone(&self, _counted: storage_core::locks::counting::Counted) -> Result<()> {
        self.world.step()?;
        let state = self.world.universe.state();
        if state.mounts.keys().any(|(_, id)| *id == self.id) {
            return Err(Error::new(Kind::Busy, "mount").detail("mounted in another namespace"));
        }
        Ok(())
    }

    fn namespace(&self) -> Option<String> {
        Some(self.world.namespace().to_string())
    }

    fn is_left_in(&self, namespace: &str) -> Result<bool> {
        self.world.step()?;
        let there = |(of, id): &(usize, String)| *id == self.id && of.to_string() == namespace;
        Ok(self.world.namespace().to_string() != namespace && self.world.universe.state().mounts.keys().any(there))
    }
}

impl Store {
    fn open(world: &Sim, has_namespaces: bool) -> Arc<Self> {
        let store = StoreId::fresh();
        let layers = level(world, store, "layers.json");
        let mounts = level(world, store, "mountpoints.json");
        Arc::new(Store {
            world: world.clone(),
            layers,
            mounts,
            words: Words::new(world.clone(), "/mounting"),
            has_namespaces,
        })
    }

    /// Works under the two holds, with what a dead process left put right.
    fn hold<R>(
        &self,
        work: impl FnOnce(&mut Counting<'_, '_, '_, Lines, Lines, Sim>, &mut OneLayer<'_>) -> Result<R>,
    ) -> Result<R> {
        let one_layer = |id: &str| OneLayer { world: &self.world, id: id.to_owned(), is_late: false };
        let mut key = key();
        let (mut layers, mut key) = self.layers.write(&mut key, &Wait::forever())?;
        let wait = Wait::forever();
        let (mut mounts, _key) =
            write_counts(&self.mounts, &mut layers, &mut key, &wait, &self.words, |_, id| Some(one_layer(id)))?;
        self.check_agreement(mounts.table().count(LAYER));
        work(&mut Counting::new(&mut layers, &mut mounts, &self.words), &mut one_layer(LAYER))
    }

    /// What is counted is mounted, when what a dead process left has been put right.
    fn check_agreement(&self, count: u64) {
        let mounted = !self.world.universe.state().mounts.is_empty();
        if (count > 0) != mounted && !self.world.is_dead() && !self.has_namespaces {
            violate(format!("the count is {count}, and the layer is {}mounted", if mounted { "" } else { "not " }));
        }
    }

    fn mount(&self, ghost: &Ghost) -> Result<()> {
        self.hold(|counting, layer| {
            counting.mount(layer)?;
            layer.catch_up()
        })?;
        if !self.world.is_dead() {
            *plain(ghost) += 1;
        }
        let here = (self.world.namespace(), LAYER.to_owned());
        if !self.world.universe.state().mounts.contains_key(&here) && !self.world.is_dead() {
            violate("a mount that is held is gone");
        }
        Ok(())
    }

    fn release(&self, ghost: &Ghost, how: Release) -> Result<()> {
        *plain(ghost) -= 1;
        if self.world.fault == Fault::CountBeforeLock {
            return self.release_by_former_count();
        }
        self.hold(|counting, layer| counting.release(layer, how)).map(drop)
    }

    /// The mutated form of [`Counting::release`]: what it decides by was read before the lock was taken.
    fn release_by_former_count(&self) -> Result<()> {
        let count = self.mounts.snapshot()?.count(LAYER);
        self.hold(|counting, layer| match count {
            2.. => counting.set_count(LAYER, &layer.place()?, count - 1),
            _ => counting.release(layer, Release::Force).map(drop),
        })
    }
}

/// Counts are what is mounted, once the next holder has been there.
fn check(universe: &Arc<Universe>, ghost: &Ghost, somebody_died: bool) {
    let store = Store::open(&universe.process(), false);
    let count = store.hold(|counting, _| Ok(counting.count(LAYER))).expect("nobody is left");
    let mounted = !universe.state().mounts.is_empty();
    if (count > 0) != mounted {
        violate(format!("the count is {count}, and the layer is {}mounted", if mounted { "" } else { "not " }));
    }
    let known = *plain(ghost);
    if !somebody_died && i64::try_from(count) != Ok(known) {
        violate(format!("the count is {count}, but {known} mounts are held"));
    }
    if store.words.last().expect("alive").is_some() {
        violate("an intent is left");
    }
}

/// Two processes of two threads that mount and unmount one layer, also conditionally.
pub(crate) fn mounts(fault: Fault) {
    let universe = Universe::new();
    let ghost = Ghost::default();
    let ours: [Sim; 2] = processes(&universe, fault, 90);
    let mut threads = Vec::new();
    for world in &ours {
        let store = Store::open(world, false);
        for how in [Release::IfMounted, Release::One] {
            let (store, ghost) = (Arc::clone(&store), Arc::clone(&ghost));
            threads.push(thread(world, "mounting", move || {
                store.mount(&ghost)?;
                store.release(&ghost, how)?;
                if how == Release::One { store.mount(&ghost) } else { Ok(()) }
            }));
        }
    }
    join(threads);
    check(&universe, &ghost, ours.iter().any(Sim::is_dead));
}

/// The same with one of the processes in a mount namespace of its own, which ends with it: a mount there is in the way of
/// others while it is there, and a count that it leaves behind in nobody's.
pub(crate) fn namespaces(fault: Fault) {
    let universe = Universe::new();
    let ours: [Sim; 2] = processes(&universe, fault, 90);
    let mut threads = Vec::new();
    for (number, world) in ours.into_iter().enumerate() {
        let world = world.in_namespace(number);
        let store = Store::open(&world, true);
        for _ in 0..2 {
            let store = Arc::clone(&store);
            threads.push(thread(&world, "mounting", move || {
                let ghost = Ghost::default();
                match store.mount(&ghost).and_then(|()| store.release(&ghost, Release::One)) {
                    Err(error) if error.kind() == Kind::Busy => Ok(()),
                    other => other,
                }
            }));
        }
    }
    join(threads);
    let ghost = Ghost::default();
    let store = Store::open(&universe.process(), true);
    let mounted_and_released = store.mount(&ghost).and_then(|()| store.release(&ghost, Release::Force));
    match mounted_and_released {
        Err(error) if error.kind() == Kind::Busy && !universe.state().mounts.is_empty() => {}
        Err(error) => violate(format!("mounting failed: {error}")),
        Ok(()) => check(&universe, &ghost, false),
    }
}

/// As [`mounts`], with one of the processes in a mount namespace that outlives it: what it left there uncounted is counted by
/// the next holder elsewhere, who can't take it away, and taken away by the next one there.
pub(crate) fn kept_namespace(fault: Fault) {
    const KEPT: usize = 1;
    let universe = Universe::new();
    universe.state().kept.insert(KEPT);
    let ours: [Sim; 2] = processes(&universe, fault, 90);
    let mut threads = Vec::new();
    for (number, world) in ours.into_iter().enumerate() {
        let world = if number == 0 { world.in_namespace(KEPT) } else { world };
        let store = Store::open(&world, false);
        for _ in 0..2 {
            let store = Arc::clone(&store);
            threads.push(thread(&world, "mounting", move || {
                let ghost = Ghost::default();
                match store.mount(&ghost).and_then(|()| store.release(&ghost, Release::One)) {
                    Err(error) if error.kind() == Kind::Busy => Ok(()),
                    other => other,
                }
            }));
        }
    }
    join(threads);
    check(&universe, &Ghost::default(), true);
}
