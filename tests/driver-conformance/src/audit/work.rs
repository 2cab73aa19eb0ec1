//! What a worker does when it is started.

use storage_core::Result;
use storage_core::driver::{MountOptions, Registry};
use storage_core::locks::ThreadKey;
use storage_core::record::{self, Lines};
use storage_core::store::{Release, Store};

use super::deeds::{self, quiet_task};
use super::dying::Dying;
use super::notes::{Note, Notes};
use super::order::{Job, Order};
use super::probe::probe;
use super::quiet::quiet;

/// Does what `word` says, with a driver of `registry`: what a program that was started as a worker hands here.
pub fn work(registry: &Registry, word: &str) -> Result<()> {
    let order = Order::from_word(word)?;
    let notes = Notes::append_to(&order.notes())?;
    let done = act(registry, &order, &notes);
    match &done {
        Ok(()) => notes.add(&Note::Done),
        Err(error) => notes.failed(&order.name(), error),
    }
    done
}

fn act(registry: &Registry, order: &Order, notes: &Notes) -> Result<()> {
    if order.job == Job::Probe {
        probe(order, notes);
        return Ok(());
    }
    let mut key = ThreadKey::take()?;
    let sink = Dying::at(Lines::append_to(&order.log())?, order.dies_at.unwrap_or(0));
    let recording = record::start(order.places(), Box::new(sink))?;
    let store = order.open(registry, &mut key)?;
    let done = match order.job {
        Job::Prepare => deeds::prepare(order, &store, &mut key),
        Job::Quiet => {
            quiet(order, &store, &mut key, notes);
            Ok(())
        }
        Job::Crowd => {
            crowd(order, &store, notes, key);
            Ok(())
        }
        Job::Victim(deed) => deeds::deed(order, deed, &store, &mut key),
        Job::Settle => settle(&store, &mut key),
        Job::End => end(&store, &mut key),
        Job::Probe => Ok(()),
    };
    drop(store);
    drop(recording);
    done
}

/// Two threads at once.
fn crowd(order: &Order, store: &Store, notes: &Notes, key: ThreadKey) {
    // The threads have keys of their own, and this one waits for nothing but them.
    drop(key);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let done = ThreadKey::take().and_then(|mut key| deeds::crowd(order, thread, store, &mut key, notes));
                if let Err(error) = done {
                    notes.failed("crowd", &error);
                }
            });
        }
    });
}

/// What anybody may do after a death: a writer, and a user of the layer that may be half-mounted.
fn settle(store: &Store, key: &mut ThreadKey) -> Result<()> {
    store.set_metadata(key, deeds::COMMON, "after a death")?;
    store.mount(key, deeds::COMMON, &MountOptions::default())?;
    store.unmount(key, deeds::COMMON, Release::IfMounted)?;
    while store.mounted(deeds::COMMON)? > 0 {
        store.unmount(key, deeds::COMMON, Release::IfMounted)?;
    }
    Ok(())
}

/// Takes everything away in the ordinary ways, so that what is left was nobody's.
fn end(store: &Store, key: &mut ThreadKey) -> Result<()> {
    let task = quiet_task();
    for (id, _, _) in store.mounted_layers()? {
        store.unmount(key, &id, Release::Force)?;
    }
    store.gc(key, &task)?;
    store.wipe(key, &task)?;
    store.gc(key, &task)?;
    store.shutdown(key, false).map(drop)
}
