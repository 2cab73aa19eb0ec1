//! How a layer differs from its parent, at the cost of what differs.
//!
//! Both are looked at as snapshots of one moment. `zfs diff` names the paths that can differ ([`crate::candidates`]); what
//! is with each is decided by looking at both trees, exactly as a walk over both would. A layer that wasn't cloned from
//! what it is compared with, or about which `zfs diff` has no answer, is compared by that walk.

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use storage_core::archive::{self, Change, ChangeKind, Tree};
use storage_core::driver::{Comparison, LayerRef, Naive, OwnerMaps, Pin, pack_changes, size_of_changes};
use storage_core::error::{Kind, Result};
use storage_core::fs::TempDir;
use storage_core::ids::LayerId;
use storage_core::mount::Features;
use storage_core::task::Task;

use crate::candidates::{Question, complete, is_directory, stat};
use crate::home::{Home, name_of};
use crate::mounting::detached;
use crate::view::{PinnedDataset, view, view_flags};

/// A layer and the parent that it was cloned from.
#[derive(Debug)]
pub(crate) struct Compared {
    sight: OnceLock<Sight>,
    home: Home,
    /// The layer and its parent.
    layers: [LayerRef; 2],
    origin: String,
    maps: OwnerMaps,
    pins: [PinnedDataset; 2],
    features: Features,
}

/// How the two are looked at. It is made when first needed, not before: it waits for the pool, and whoever asks for a comparison
/// holds a lock.
#[derive(Debug)]
enum Sight {
    /// At one moment.
    Moment(Box<Seen>),
    /// As they are, where no snapshot can be made.
    Walk(Naive),
}

/// Both as snapshots.
#[derive(Debug)]
struct Seen {
    // The mounts go before the snapshots.
    new: OwnedFd,
    old: OwnedFd,
    moment: Moment,
    /// Where to look, once that was asked; `None` when it is not known.
    candidates: OnceLock<Option<BTreeSet<PathBuf>>>,
}

/// Snapshots of two datasets, which go when this does.
#[derive(Debug)]
struct Moment {
    home: Home,
    layer: LayerId,
    parent: LayerId,
    name: String,
    place: TempDir,
}

impl Moment {
    fn new(home: &Home, layer: &LayerId, parent: &LayerId) -> Result<Self> {
        let place = home.tempdirs().create()?;
        let name = name_of(&place);
        let moment = Moment { home: home.clone(), layer: layer.clone(), parent: parent.clone(), name, place };
        home.datasets.snapshot(&[layer.as_str(), parent.as_str()], &moment.name, home.id()?)?;
        Ok(moment)
    }

    fn mounted(&self, id: &LayerId, features: Features) -> Result<OwnedFd> {
        let dataset = format!("{}@{}", self.home.datasets.path(id.as_str())?, self.name);
        detached(&dataset, &view_flags(), features)
    }
}

impl Drop for Moment {
    /// What can't be destroyed now is swept later.
    fn drop(&mut self) {
        for id in [&self.layer, &self.parent] {
            let _ = self.home.datasets.destroy_snapshot(id.as_str(), &self.name);
        }
    }
}

impl Compared {
    /// `None` when the layer was not cloned from `base`, or shows other owners than it.
    pub(crate) fn new(
        home: &Home,
        layer: &LayerRef,
        base: &LayerRef,
        maps: &OwnerMaps,
        features: Features,
    ) -> Result<Option<Self>> {
        let pins = [PinnedDataset::new(home, &layer.id)?, PinnedDataset::new(home, &base.id)?];
        let of_base = format!("{}@", home.datasets.path(base.id.as_str())?);
        // Where all owners differ, every path would be named.
        let is_cloned = |origin: &String| maps.layer == maps.base && origin.starts_with(&of_base);
        let Some(origin) = home.dataset(&layer.id)?.origin.filter(is_cloned) else { return Ok(None) };
        let (home, layers, maps) = (home.clone(), [layer.clone(), base.clone()], maps.clone());
        Ok(Some(Compared { sight: OnceLock::new(), home, layers, origin, maps, pins, features }))
    }

    fn sight(&self) -> Result<&Sight> {
        if let Some(sight) = self.sight.get() {
            return Ok(sight);
        }
        let made = match self.look() {
            // What went meanwhile is not there to be looked at.
            Err(error) if error.kind() == Kind::NotFound => return Err(self.check().err().unwrap_or(error)),
            made => made?,
        };
        Ok(self.sight.get_or_init(|| made))
    }

    fn look(&self) -> Result<Sight> {
        let [layer, base] = &self.layers;
        let moment = match Moment::new(&self.home, &layer.id, &base.id) {
            Err(error) if matches!(error.kind(), Kind::NoSpace | Kind::ReadOnlyStore) => {
                let see = |layer| view(&self.home, layer, self.features);
                return Ok(Sight::Walk(Naive::new(see(layer)?, Some(see(base)?), self.maps.clone())));
            }
            moment => moment?,
        };
        let (new, old) = (moment.mounted(&layer.id, self.features)?, moment.mounted(&base.id, self.features)?);
        Ok(Sight::Moment(Box::new(Seen { new, old, moment, candidates: OnceLock::new() })))
    }

    fn trees<'a>(&'a self, seen: &'a Seen) -> (Tree<'a>, Tree<'a>) {
        let new = Tree { root: seen.new.as_fd(), maps: &self.maps.layer };
        (new, Tree { root: seen.old.as_fd(), maps: &self.maps.base })
    }

    fn candidates<'a>(&self, seen: &'a Seen) -> Option<&'a BTreeSet<PathBuf>> {
        let found = seen.candidates.get_or_init(|| {
            let place = seen.moment.place.path();
            let question = Question {
                datasets: &self.home.datasets,
                layer: seen.moment.layer.as_str(),
                parent: seen.moment.parent.as_str(),
                snapshot: &seen.moment.name,
                origin: &self.origin,
                place: &place,
                features: self.features,
            };
            // Without an answer the walk finds all, only slower.
            let named = question.ask().ok()?;
            complete(named, seen.new.as_fd(), seen.old.as_fd()).ok().flatten()
        });
        found.as_ref()
    }
}

impl Comparison for Compared {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let seen = match self.sight()? {
            Sight::Walk(naive) => return naive.changes(task, each),
            Sight::Moment(seen) => seen,
        };
        let (new, old) = self.trees(seen);
        match self.candidates(seen) {
            None => archive::compare(new, Some(old), Path::new("/"), task, each),
            Some(paths) => Walk { new, old, reported: HashSet::new(), task, each }.run(paths),
        }
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        match self.sight()? {
            Sight::Walk(naive) => naive.pack(out, before_end, task),
            Sight::Moment(seen) => pack_changes(self, self.trees(seen).0, out, before_end, task),
        }
    }

    fn size(&self, task: &Task) -> Result<u64> {
        match self.sight()? {
            Sight::Walk(naive) => naive.size(task),
            Sight::Moment(seen) => size_of_changes(self, seen.new.as_fd(), task),
        }
    }

    fn check(&self) -> Result<()> {
        self.pins.iter().try_for_each(Pin::check)
    }
}

/// A look at the candidates, in order.
struct Walk<'a> {
    new: Tree<'a>,
    old: Tree<'a>,
    /// The directories that were reported.
    reported: HashSet<PathBuf>,
    task: &'a Task,
    each: &'a mut dyn FnMut(Change) -> Result<()>,
}

impl Walk<'_> {
    fn run(mut self, paths: &BTreeSet<PathBuf>) -> Result<()> {
        let mut done: Option<&PathBuf> = None;
        for path in paths {
            if done.is_some_and(|done| path.starts_with(done)) {
                continue;
            }
            if self.look(path)? == Below::Done {
                done = Some(path);
            }
        }
        Ok(())
    }

    /// Decides one path.
    fn look(&mut self, path: &Path) -> Result<Below> {
        self.task.step(0, 1)?;
        let mut difference = archive::compare_paths(self.new, Some(self.old), path)?;
        let (new, old) = (stat(self.new.root, path)?, stat(self.old.root, path)?);
        let (Some(new), Some(old)) = (&new, &old) else {
            return match difference {
                Some(ChangeKind::Add) => self.subtree(path),
                Some(kind) => self.report(path.to_path_buf(), kind).map(|()| Below::Done),
                None => Ok(Below::Done),
            };
        };
        match (is_directory(new), is_directory(old)) {
            (true, true) if new.st_ino == old.st_ino => {}
            (false, false) => {
                // Only the access time of a file that was read has changed; what is written to has a new time of change.
                let untouched = (new.st_ctime, new.st_ctime_nsec) == (old.st_ctime, old.st_ctime_nsec);
                let same = || archive::same_content(self.new.root, Some(self.old.root), path, self.task);
                if difference.is_none() && !untouched && !same()? {
                    // It was written to, though its size and time are the same.
                    difference = Some(ChangeKind::Modify);
                }
            }
            _ => return self.subtree(path),
        }
        difference.map_or(Ok(()), |kind| self.report(path.to_path_buf(), kind))?;
        Ok(Below::Open)
    }

    /// Walks both trees from `path` down.
    fn subtree(&mut self, path: &Path) -> Result<Below> {
        let (new, old, task) = (self.new, self.old, self.task);
        archive::compare(new, Some(old), path, task, &mut |change| self.report(change.path, change.kind))?;
        Ok(Below::Done)
    }

    /// Reports a change, after the directories above it that were not reported yet.
    fn report(&mut self, path: PathBuf, kind: ChangeKind) -> Result<()> {
        let above: Vec<_> = path.ancestors().skip(1).filter(|above| above.file_name().is_some()).collect();
        for directory in above.into_iter().rev() {
            if self.reported.insert(directory.to_path_buf()) {
                (self.each)(Change { path: directory.to_path_buf(), kind: ChangeKind::Modify })?;
            }
        }
        self.reported.insert(path.clone());
        (self.each)(Change { path, kind })
    }
}

/// Whether what is below a path is still to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Open,
    Done,
}
