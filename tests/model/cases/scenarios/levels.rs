//! Several levels in their order, and additional stores in opposite orders: nobody waits for ever (R5, R7).

use std::sync::Arc;

use storage_core::Result;
use storage_core::lockfile::Wait;
use storage_core::locks::level::{Containers, Graph, Images, Layers, Mounts};
use storage_core::locks::{Flush, Guarded, RecordFile, StoreId, Watched};

use super::{join, key, level, processes, thread};
use crate::explore::{choose, violate};
use crate::tables::Lines;
use crate::world::{Fault, Sim, Universe};

/// One process's two stores: its own, and the other's as an additional one.
struct Stores {
    graph: Guarded<Graph, Lines, Sim>,
    layers: Guarded<Layers, Lines, Sim>,
    mounts: Guarded<Mounts, Lines, Sim>,
    images: Guarded<Images, Lines, Sim>,
    containers: Guarded<Containers, Lines, Sim>,
    own: Guarded<Images, Lines, Sim>,
    additional: Watched<Lines, Sim>,
}

impl Stores {
    fn open(world: &Sim, own: &str, additional: &str) -> Self {
        let store = StoreId::fresh();
        let file = RecordFile { path: format!("/{additional}.json").into(), flush: Flush::Nothing };
        Stores {
            graph: level(world, store, "storage.json"),
            layers: level(world, store, "layers.json"),
            mounts: level(world, store, "mountpoints.json"),
            images: level(world, store, "images.json"),
            containers: level(world, store, "containers.json"),
            own: level(world, store, &format!("{own}.json")),
            additional: Watched::new(world.clone(), vec![file]),
        }
    }

    /// What mounting takes.
    fn mount(&self) -> Result<()> {
        let mut key = key();
        let (_graph, mut key) = self.graph.read(&mut key, &Wait::forever())?;
        let (_layers, mut key) = self.layers.write(&mut key, &Wait::forever())?;
        self.mounts.write(&mut key, &Wait::forever()).map(drop)
    }

    /// What making a container takes.
    fn make_container(&self) -> Result<()> {
        let mut key = key();
        let (_layers, mut key) = self.layers.write(&mut key, &Wait::forever())?;
        let (_images, mut key) = self.images.read(&mut key, &Wait::forever())?;
        self.containers.write(&mut key, &Wait::forever()).map(drop)
    }

    /// What shutting down takes.
    fn shut_down(&self) -> Result<()> {
        let mut key = key();
        let (mut graph, mut key) = self.graph.write(&mut key, &Wait::forever())?;
        let (_layers, mut key) = self.layers.read(&mut key, &Wait::forever())?;
        let (_images, mut key) = self.images.write(&mut key, &Wait::forever())?;
        graph.record_write()?;
        self.containers.read(&mut key, &Wait::forever()).map(drop)
    }

    /// Changes its own store and looks into the other's, while holding its own.
    fn change(&self, line: &str) -> Result<usize> {
        let mut key = key();
        let (mut guard, _key) = self.own.write(&mut key, &Wait::forever())?;
        let before = self.additional.snapshot()?.0.len();
        let table = guard.table().and(line);
        guard.save(table, &[0])?;
        let after = self.additional.snapshot()?.0.len();
        Ok(after.wrapping_sub(before))
    }
}

/// Two processes of two threads that take several levels, and two threads that hold one store and read the other's.
pub(crate) fn levels(fault: Fault) {
    let universe = Universe::new();
    let ours: [Sim; 2] = processes(&universe, fault, 60);
    let mut threads = Vec::new();
    for (world, (own, additional)) in ours.iter().zip([("one", "two"), ("two", "one")]) {
        let stores = Arc::new(Stores::open(world, own, additional));
        for _ in 0..2 {
            let (stores, what) = (Arc::clone(&stores), choose(3));
            threads.push(thread(world, "taking levels", move || match what {
                0 => stores.mount(),
                1 => stores.make_container(),
                _ => stores.shut_down(),
            }));
        }
        let process = world.clone();
        threads.push(thread(world, "changing a store", move || {
            let more = stores.change(own)?;
            if more > 1 && !process.is_dead() {
                violate("an additional store went backwards");
            }
            Ok(())
        }));
    }
    join(threads);
}
