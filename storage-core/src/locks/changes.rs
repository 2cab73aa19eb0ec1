//! Making and deleting layers: the steps between parts in place and a record, and what the next writer does when one died
//! between them.
//!
//! *Create*: say it, put the parts in place, save the record. *Delete*: say it, remove the record, take the parts away. A
//! layer is there when its record is; so what the intent names and no record knows is taken away by the next writer.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guarded::WriteGuard;
use super::level::Layers;
use super::records::Table;
use super::words::Words;
use super::world::World;
use crate::error::{Kind, Result};

/// The layers, held for writing.
type Held<'g, T, W> = WriteGuard<'g, Layers, T, W>;
/// A new version of a table, and which of its files change.
pub type Changed<T> = (T, Vec<usize>);

/// The records of layers.
pub trait LayerRecords: Table {
    /// Whether there is a record of this id that is not marked incomplete.
    fn knows(&self, id: &str) -> bool;
    /// Whether something is to be put right by a writer.
    fn needs_repair(&self) -> bool;
    /// The ids of layers that are marked incomplete.
    fn incomplete_ids(&self) -> Vec<String>;
    /// The table without the records of `ids`; none when it has none of them.
    fn without(&self, ids: &[String]) -> Option<Changed<Self>>;
    /// The table without the records of `ids` that are marked incomplete, and with whatever else was put right when it was
    /// read; none when there is nothing to change.
    fn without_incomplete(&self, ids: &[String]) -> Option<Changed<Self>>;
}

/// What belongs to layers beside their records.
pub trait Parts<T: Table, W: World> {
    /// Takes away all parts of a layer that has no record (any more). An id that can't be a file name has none.
    fn discard(&mut self, held: &mut Held<'_, T, W>, id: &str) -> Result<()>;
    /// Makes names survive power loss, where that was asked for.
    fn flush_names(&mut self, held: &Held<'_, T, W>) -> Result<()>;
}

/// Puts a layer's parts in place, then saves the table `with` it; on failure takes out again what it put there. On success
/// the intent still stands: the caller says when all is done.
pub fn put<T: LayerRecords, W: World, I: Serialize + DeserializeOwned, P: Parts<T, W>>(
    held: &mut Held<'_, T, W>,
    (words, intent): (&Words<W, I>, &I),
    id: &str,
    parts: &mut P,
    place: impl FnOnce(&mut P, &mut Held<'_, T, W>) -> Result<()>,
    with: impl FnOnce(&T) -> Changed<T>,
) -> Result<()> {
    words.say(intent)?;
    let placed = place(parts, held).and_then(|()| {
        let (table, changed) = with(held.table());
        held.save(table, &changed)
    });
    if placed.is_err() && !held.table().knows(id) {
        // What can't be taken out now is named by the intent, for the next writer.
        parts.discard(held, id).and_then(|()| words.done()).or(Ok(()))?;
        return placed;
    }
    parts.flush_names(held)?;
    if placed.is_err() {
        words.done()?;
    }
    placed
}

/// Removes the records of layers that an intent names, then their parts, and says that it is done.
pub fn forget<T: LayerRecords, W: World, I: Serialize + DeserializeOwned>(
    held: &mut Held<'_, T, W>,
    words: &Words<W, I>,
    ids: &[String],
    parts: &mut impl Parts<T, W>,
) -> Result<()> {
    if let Some((table, changed)) = held.table().without(ids) {
        // A failure may have removed some of the records: the intent stays, and the next writer looks which.
        held.save(table, &changed)?;
    }
    // The records are gone: what fails from here on is garbage, named by the intent for the next writer.
    for id in ids {
        parts.discard(held, id)?;
    }
    parts.flush_names(held)?;
    words.done()
}

/// Finishes what a dead writer said that it was about to do. Returns whether somebody said something.
pub fn finish_left<T: Table, W: World, I: Serialize + DeserializeOwned>(
    held: &mut Held<'_, T, W>,
    words: &Words<W, I>,
    finish: impl FnOnce(&mut Held<'_, T, W>, &I) -> Result<()>,
) -> Result<bool> {
    let Some(intent) = words.last()? else { return Ok(false) };
    finish(held, &intent)?;
    words.done()?;
    Ok(true)
}

/// Takes away all parts of those of `ids` that have no record. Returns those whose parts could not be taken away, which
/// keeps nobody from working (R8).
pub fn discard_unrecorded<T: LayerRecords, W: World>(
    held: &mut Held<'_, T, W>,
    ids: &[String],
    parts: &mut impl Parts<T, W>,
) -> Result<Vec<String>> {
    let mut stuck = Vec::new();
    for id in ids.iter().filter(|id| !held.table().knows(id)).cloned().collect::<Vec<_>>() {
        match parts.discard(held, &id) {
            Err(error) if error.kind() == Kind::LockMisuse => return Err(error),
            Err(_) => stuck.push(id),
            Ok(()) => {}
        }
    }
    Ok(stuck)
}

/// Deletes layers marked incomplete and saves what was put right while the table was read.
///
/// A layer that can't be deleted keeps its mark, for the next writer; it keeps nobody from working with the others.
pub fn settle_incomplete<T: LayerRecords, W: World>(
    held: &mut Held<'_, T, W>,
    parts: &mut impl Parts<T, W>,
) -> Result<()> {
    if !held.table().needs_repair() {
        return Ok(());
    }
    let incomplete = held.table().incomplete_ids();
    // A complete record of the same id is not the incomplete one's to delete.
    let stuck = discard_unrecorded(held, &incomplete, parts)?;
    let gone: Vec<_> = incomplete.into_iter().filter(|id| !stuck.contains(id)).collect();
    match held.table().without_incomplete(&gone) {
        Some((table, changed)) => held.save(table, &changed),
        None => Ok(()),
    }
}
