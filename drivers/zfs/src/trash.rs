//! Datasets that no record names any more, until they are destroyed.

use storage_core::driver::Trash;
use storage_core::error::{Error, Kind, Result};
use storage_core::fs::TempDir;
use storage_core::ids::{LayerId, random_name};
use storage_core::mount::is_mount_root;
use storage_core::task::Task;

use crate::home::{Home, Owner, former_layer, is_ours, name_of};

/// A dataset in trash.
#[derive(Debug)]
pub(crate) struct TrashedDataset {
    pub(crate) home: Home,
    pub(crate) name: String,
    /// Says that somebody looks after it. Held, unless the disk was too full to make one.
    pub(crate) _place: Option<TempDir>,
}

/// What became of a dataset in trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Destroyed,
    InUse,
}

/// A layer's dataset in trash, or nothing at all.
#[derive(Debug)]
pub(crate) struct Reclaimable(pub(crate) Option<TrashedDataset>);

impl Trash for Reclaimable {
    fn reclaim(self: Box<Self>, task: &Task) -> Result<()> {
        let Some(trashed) = self.0 else { return Ok(()) };
        task.step(0, 1)?;
        destroy(&trashed.home, &trashed.name).map(|_| ())
    }
}

/// Renames the layer's dataset into trash.
pub(crate) fn trash(home: &Home, id: &LayerId) -> Result<Option<TrashedDataset>> {
    let target = home.mount_point(id);
    if is_mount_root(&target)? {
        return Err(Error::new(Kind::Busy, "remove layer").at(target).detail("the layer is mounted"));
    }
    if is_ours(id.as_str()) {
        return Ok(None);
    }
    let mut listing = home.datasets.listing()?;
    if !listing.datasets.contains_key(id.as_str()) {
        // It may be coming yet: the kernel goes on with a commit whose command was killed.
        home.datasets.settle()?;
        listing = home.datasets.listing()?;
    }
    // What the layer was before it was replaced must not be taken for a layer that has lost its dataset.
    for (former, dataset) in &listing.datasets {
        if former_layer(former) == Some(id.as_str()) && home.owner(dataset.owner.as_deref())? == Owner::Ours {
            home.datasets.rename(former, &unprotected()?)?;
        }
    }
    let Some(dataset) = listing.datasets.get(id.as_str()) else { return Ok(None) };
    match home.owner(dataset.owner.as_deref())? {
        Owner::Ours => {}
        // The reference made it. What is in trash must say whose it is, for those who come after a kill.
        Owner::Unknown => adopt(home, id)?,
        Owner::Others => return Ok(None),
    }
    let (name, place) = match home.tempdirs().create() {
        Ok(place) => (name_of(&place), Some(place)),
        // On a full disk the trash stands without a lock: who makes a place always locks first, so it is nobody's.
        Err(error) if error.kind() == Kind::NoSpace => (unprotected()?, None),
        Err(error) => return Err(error),
    };
    home.datasets.rename(id.as_str(), &name)?;
    Ok(Some(TrashedDataset { home: home.clone(), name, _place: place }))
}

/// Says that a layer's dataset is this home's. Where there is no room for that it goes unsaid: who has it in trash knows it.
pub(crate) fn adopt(home: &Home, id: &LayerId) -> Result<()> {
    match home.id().and_then(|owner| home.datasets.mark(id.as_str(), owner)) {
        Err(error) if error.kind() != Kind::NoSpace => Err(error),
        _ => Ok(()),
    }
}

fn unprotected() -> Result<String> {
    Ok(format!("{}{}", crate::datasets::OURS, random_name(b"0123456789", 12)?))
}

/// Destroys a dataset of ours, unless somebody uses it: then it is left, without an error.
///
/// Its snapshots go first, each by name, and only those that nothing was cloned from. When it was replaced by a clone of
/// itself, the clone first takes over what it was cloned from.
pub(crate) fn destroy(home: &Home, name: &str) -> Result<Outcome> {
    if let Some(id) = former_layer(name) {
        take_over(home, name, id)?;
    }
    let listing = home.datasets.listing()?;
    let Some(dataset) = listing.datasets.get(name) else { return Ok(Outcome::Destroyed) };
    let path = home.datasets.path(name)?;
    for snapshot in &dataset.snapshots {
        let whole = format!("{path}@{}", snapshot.name);
        let is_origin = listing.datasets.values().any(|other| other.origin.as_ref() == Some(&whole));
        if is_origin {
            return Ok(Outcome::InUse);
        }
        if let Some(outcome) = unless_used(home.datasets.destroy_snapshot(name, &snapshot.name))? {
            return Ok(outcome);
        }
    }
    Ok(unless_used(home.datasets.destroy(name))?.unwrap_or(Outcome::Destroyed))
}

/// Lets the layer that replaced `name` own the snapshots that it needs.
fn take_over(home: &Home, name: &str, id: &str) -> Result<()> {
    let listing = home.datasets.listing()?;
    let of_former = format!("{}@", home.datasets.path(name)?);
    match listing.datasets.get(id).and_then(|layer| layer.origin.as_ref()) {
        Some(origin) if origin.starts_with(&of_former) => home.datasets.promote(id),
        _ => Ok(()),
    }
}

/// `None` when it was done.
fn unless_used(done: Result<()>) -> Result<Option<Outcome>> {
    match done {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == Kind::Busy => Ok(Some(Outcome::InUse)),
        Err(error) if error.kind() == Kind::NotFound => Ok(Some(Outcome::Destroyed)),
        Err(error) => Err(error),
    }
}
