//! What processes left when they died: staging, trash, and snapshots made for a moment.

use std::time::Instant;

use storage_core::driver::Swept;
use storage_core::error::{Kind, Result};
use storage_core::task::Task;

use crate::home::{Home, Owner, former_layer, is_ours};
use crate::trash::{Outcome, destroy};

/// Reclaims what nobody alive has, until `deadline`.
pub(crate) fn sweep(home: &Home, deadline: Instant, task: &Task) -> Result<Swept> {
    // What is listed now had its place before; so what has no place after the places were swept is nobody's.
    let listing = home.datasets.listing()?;
    let (reclaimed, left) = home.tempdirs().sweep(deadline, task)?;
    let mut swept = Swept { reclaimed, left };
    for (name, dataset) in listing.datasets.iter().filter(|(name, _)| is_ours(name)) {
        task.step(0, 1)?;
        if home.owner(dataset.owner.as_deref())? != Owner::Ours {
            continue;
        }
        if home.is_held(name) || Instant::now() >= deadline {
            swept.left += 1;
            continue;
        }
        // The layer may have nothing else: then the next writer, who knows whether it has a record, gives it this back.
        if former_layer(name).is_some_and(|id| !listing.datasets.contains_key(id)) {
            swept.left += 1;
            continue;
        }
        match destroy(home, name) {
            Ok(Outcome::Destroyed) => swept.reclaimed += 1,
            Ok(Outcome::InUse) | Err(_) => swept.left += 1,
        }
    }
    for (name, dataset) in &listing.datasets {
        for snapshot in dataset.snapshots.iter().filter(|snapshot| is_stale(home, snapshot)) {
            if home.owner(snapshot.owner.as_deref())? != Owner::Ours {
                continue;
            }
            match home.datasets.destroy_snapshot(name, &snapshot.name) {
                Ok(()) => swept.reclaimed += 1,
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(_) => swept.left += 1,
            }
        }
    }
    Ok(swept)
}

/// Whether a snapshot is one of ours that nobody looks after any more.
fn is_stale(home: &Home, snapshot: &crate::listing::Snapshot) -> bool {
    is_ours(&snapshot.name) && !snapshot.is_deferred && !home.is_held(&snapshot.name)
}
