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
use storage_core::driver::{Comparison, LayerRef, OwnerMaps, Pin, pack_changes, size_of_changes};
use storage_core::error::{Kind, Result};
use storage_core::fs::TempDir;
use storage_core::ids::LayerId;
use storage_core::mount::Features;
use storage_core::task::Task;

use crate::candidates::{Question, complete, is_directory, stat};
use crate::home::{Home, name_of};
use crate::mounting::detached;
use crate::view::{PinnedDataset, view_flags};

/// A layer and the parent that it was cloned from, as snapshots.
#[derive(Debug)]
pub(crate) struct Compared {
    // The mounts go before the snapshots.
    new: OwnedFd,
    old: OwnedFd,
    moment: Moment,
    origin: String,
    maps: OwnerMaps,
    pins: [PinnedDataset; 2],
    features: Features,
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
        home.datasets.snapshot(&[layer.as_str(), parent.as_str()], &moment.name)?;
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
    /// `None` when the layer was not cloned from `base`, or no snapshot can be made (the pool is full, or read-only).
    pub(crate) fn new(
        home: &Home,
        layer: &LayerRef,
        base: &LayerRef,
        maps: &OwnerMaps,
        features: Features,
    ) -> Result<Option<Self>> {
        let pins = [PinnedDataset::new(home, &layer.id)?, PinnedDataset::new(home, &base.id)?];
        let of_base = format!("{}@", home.datasets.path(base.id.as_str())?);
        let origin = home.dataset(&layer.id)?.origin.filter(|origin| origin.starts_with(&of_base));
        let Some(origin) = origin else { return Ok(None) };
        let moment = match Moment::new(home, &layer.id, &base.id) {
            Err(error) if matches!(error.kind(), Kind::NoSpace | Kind::ReadOnlyStore) => return Ok(None),
            moment => moment?,
        };
        let (new, old) = (moment.mounted(&layer.id, features)?, moment.mounted(&base.id, features)?);
        let (maps, candidates) = (maps.clone(), OnceLock::new());
        Ok(Some(Compared { new, old, moment, origin, maps, pins, features, candidates }))
    }

    fn trees(&self) -> (Tree<'_>, Tree<'_>) {
        let new = Tree { root: self.new.as_fd(), maps: &self.maps.layer };
        (new, Tree { root: self.old.as_fd(), maps: &self.maps.base })
    }

    fn candidates(&self) -> Option<&BTreeSet<PathBuf>> {
        let found = self.candidates.get_or_init(|| {
            let place = self.moment.place.path();
            let question = Question {
                datasets: &self.moment.home.datasets,
                layer: self.moment.layer.as_str(),
                parent: self.moment.parent.as_str(),
                snapshot: &self.moment.name,
                origin: &self.origin,
                place: &place,
                features: self.features,
            };
            // Without an answer the walk finds all, only slower.
            let named = question.ask().ok()?;
            complete(named, self.new.as_fd(), self.old.as_fd()).ok().flatten()
        });
        found.as_ref()
    }
}

impl Comparison for Compared {
    fn changes(&self, task: &Task, each: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let (new, old) = self.trees();
        match self.candidates() {
            None => archive::compare(new, Some(old), Path::new("/"), task, each),
            Some(paths) => Walk { new, old, reported: HashSet::new(), task, each }.run(paths),
        }
    }

    fn pack(&self, out: &mut dyn Write, before_end: &mut dyn FnMut() -> Result<()>, task: &Task) -> Result<()> {
        pack_changes(self, self.trees().0, out, before_end, task)
    }

    fn size(&self, task: &Task) -> Result<u64> {
        size_of_changes(self, self.new.as_fd(), task)
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
                let same = || archive::same_content(self.new.root, Some(self.old.root), path, self.task);
                if difference.is_none() && !same()? {
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
