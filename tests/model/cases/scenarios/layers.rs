//! Making and deleting layers: what was acknowledged stays, what was deleted doesn't come back, what a dead process left
//! half-done is settled by the next writer (R8).

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use storage_core::fs::Files;
use storage_core::fs::tempdir::Trashed;
use storage_core::lockfile::Wait;
use storage_core::locks::changes::LayerRecords;
use storage_core::locks::changes::{Parts, discard_unrecorded, finish_left, forget, put, settle_incomplete};
use storage_core::locks::level::Layers;
use storage_core::locks::{Guarded, StoreId, VERSION, Words, WriteGuard};
use storage_core::{Result, Task};

use super::places::{PLACES, check_swept, fill, layer_path, places, sweep};
use super::{join, key, level, processes, thread};
use crate::explore::violate;
use crate::raw::plain;
use crate::tables::Lines;
use crate::world::{Fault, Sim, Universe};

type Held<'g> = WriteGuard<'g, Layers, Lines, Sim>;

/// The intent.
#[derive(Serialize, Deserialize)]
struct Said {
    version: u32,
    ids: Vec<String>,
}

/// One process's open store.
struct Store {
    world: Sim,
    layers: Guarded<Layers, Lines, Sim>,
    words: Words<Sim, Said>,
}

/// What everybody outside knows: layers that were made, or deleted, by who lived to say so.
#[derive(Default)]
struct Known {
    made: Vec<String>,
    deleted: Vec<String>,
    /// Layers that somebody began to delete: whether they are still there nobody knows.
    going: Vec<String>,
}

type Ghost = Arc<Mutex<Known>>;

/// The directories of layers; what goes is deleted once the locks are released.
struct Directories<'a> {
    world: &'a Sim,
    trash: Vec<Trashed<Sim>>,
}

impl Parts<Lines, Sim> for Directories<'_> {
    fn discard(&mut self, _held: &mut Held<'_>, id: &str) -> Result<()> {
        self.trash.extend(places(self.world).trash(&layer_path(id))?);
        Ok(())
    }

    fn flush_names(&mut self, _held: &Held<'_>) -> Result<()> {
        Ok(())
    }
}

impl Directories<'_> {
    fn reclaim(self) -> Result<()> {
        self.trash.into_iter().try_for_each(|trashed| trashed.reclaim(&Task::new("reclaim")))?;
        sweep(self.world)
    }
}

fn said(id: &str) -> Said {
    Said { version: VERSION, ids: vec![id.to_owned()] }
}

impl Store {
    fn open(world: &Sim) -> Arc<Self> {
        let layers = level(world, StoreId::fresh(), "layers.json");
        Arc::new(Store { world: world.clone(), layers, words: Words::new(world.clone(), "/intent") })
    }

    fn directories(&self) -> Directories<'_> {
        Directories { world: &self.world, trash: Vec::new() }
    }

    /// What every writer does first.
    fn recover(&self, held: &mut Held<'_>, parts: &mut Directories<'_>) -> Result<()> {
        finish_left(held, &self.words, |held, said| discard_unrecorded(held, &said.ids, parts).map(drop))?;
        settle_incomplete(held, parts)
    }

    fn make(&self, id: &str, ghost: &Ghost) -> Result<()> {
        let place = places(&self.world).create()?;
        fill(&self.world, &place.path().join("content"))?;
        let mut parts = self.directories();
        {
            let mut key = key();
            let (mut held, _key) = self.layers.write(&mut key, &Wait::forever())?;
            self.recover(&mut held, &mut parts)?;
            let commit = |_: &mut Directories<'_>, _: &mut Held<'_>| place.move_out("content", &layer_path(id));
            put(&mut held, (&self.words, &said(id)), id, &mut parts, commit, |table| (table.and(id), vec![0]))?;
            self.words.done()?;
        }
        if !self.world.is_dead() {
            plain(ghost).made.push(id.to_owned());
        }
        place.close()?;
        parts.reclaim()
    }

    fn delete(&self, id: &str, ghost: &Ghost) -> Result<()> {
        let mut parts = self.directories();
        {
            let mut key = key();
            let (mut held, _key) = self.layers.write(&mut key, &Wait::forever())?;
            self.recover(&mut held, &mut parts)?;
            if !held.table().knows(id) {
                return Ok(());
            }
            self.words.say(&said(id))?;
            plain(ghost).going.push(id.to_owned());
            forget(&mut held, &self.words, &[id.to_owned()], &mut parts)?;
        }
        if !self.world.is_dead() {
            plain(ghost).deleted.push(id.to_owned());
        }
        parts.reclaim()
    }

    /// Looks at a layer: what there is of a record is there of a tree, and stays while it is viewed.
    fn look(&self, id: &str, ghost: &Ghost) -> Result<()> {
        let view = {
            let deleted = plain(ghost).deleted.clone();
            let mut key = key();
            let (held, _key) = self.layers.read(&mut key, &Wait::forever())?;
            if let Some(back) = deleted.iter().find(|deleted| held.table().knows(deleted))
                && !self.world.is_dead()
            {
                violate(format!("layer {back} came back"));
            }
            if !held.table().knows(id) {
                return Ok(());
            }
            self.world.view(&layer_path(id))?
        };
        if view.names()?.is_empty() && !self.world.is_dead() {
            violate(format!("layer {id} has no content while it is viewed"));
        }
        Ok(())
    }
}

/// Puts right what is left, and looks whether records, directories and what is known agree.
fn check(universe: &Arc<Universe>, ghost: &Ghost) {
    let store = Store::open(&universe.process());
    let mut parts = store.directories();
    let table = {
        let mut key = key();
        let (mut held, _key) = store.layers.write(&mut key, &Wait::forever()).expect("nobody is left");
        store.recover(&mut held, &mut parts).expect("recover");
        held.table().as_ref().clone()
    };
    parts.reclaim().expect("reclaim");
    let mut trees = store.world.names(Path::new("/home")).expect("alive");
    trees.retain(|name| name != "tempdirs");
    let mut records = table.0.clone();
    records.sort();
    if trees != records {
        violate(format!("the records are {records:?}, the trees {trees:?}"));
    }
    if store.words.last().expect("alive").is_some() {
        violate("an intent is left");
    }
    let known = plain(ghost);
    if let Some(lost) = known.made.iter().find(|made| !table.knows(made) && !known.going.contains(made)) {
        violate(format!("layer {lost} is lost"));
    }
    if let Some(back) = known.deleted.iter().find(|deleted| table.knows(deleted)) {
        violate(format!("layer {back} came back"));
    }
}

/// Two processes of a thread that makes layers and one that deletes them, or looks at them.
pub(crate) fn layers(fault: Fault) {
    let universe = Universe::new();
    universe.process().make_directories(Path::new(PLACES)).expect("alive");
    let ghost = Ghost::default();
    Store::open(&universe.process()).make("x", &ghost).expect("alive");
    let ours: [Sim; 2] = processes(&universe, fault, 110);
    let mut threads = Vec::new();
    for (number, world) in ours.iter().enumerate() {
        let store = Store::open(world);
        let (making, known, id) = (Arc::clone(&store), Arc::clone(&ghost), ["a", "b"][number]);
        threads.push(thread(world, "making a layer", move || making.make(id, &known)));
        let (other, known) = (store, Arc::clone(&ghost));
        threads.push(thread(world, "deleting a layer", move || match number {
            0 => other.delete("x", &known).and_then(|()| other.look("x", &known)),
            _ => other.look("x", &known).and_then(|()| other.delete("a", &known)),
        }));
    }
    join(threads);
    check(&universe, &ghost);
    check_swept(&universe);
}
