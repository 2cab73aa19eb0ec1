//! A layer in the making: a clone of its parent, or an empty dataset, mounted where no path names it.
//!
//! Under the lock only the parent's identity is noted. The clone is made after, and the commit makes sure that the parent is
//! still the same: snapshots and clones wait for the pool.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};
use storage_core::archive::Whiteouts;
use storage_core::driver::{Exclusive, Home as Place, Plan, Staged, Start, Trash};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::TempDir;
use storage_core::idmap::{Maps, Shift, Threads, chown_tree};
use storage_core::ids::LayerId;
use storage_core::mount::{Features, MountFlags, is_mount_root};
use storage_core::task::Task;

use crate::datasets::Made;
use crate::home::{Home, Owner, former_name, is_ours, name_of};
use crate::mounting::detached;
use crate::trash::{Reclaimable, TrashedDataset, adopt, destroy};

/// A dataset in the making.
#[derive(Debug)]
pub(crate) struct StagedDataset {
    home: Home,
    features: Features,
    /// What the dataset is called until it is a layer.
    name: String,
    /// `None` once the dataset is a layer.
    place: Option<TempDir>,
    /// What it starts from: the layer, and which dataset that is.
    origin: Option<(LayerId, String)>,
    /// How owners change in the copy.
    shift: Shift,
    quota: u64,
    root: Option<OwnedFd>,
}

impl StagedDataset {
    /// Begins a layer with a limit of `quota` bytes; a replacement keeps the limit of the layer.
    pub(crate) fn begin(home: &Home, plan: &Plan, quota: u64, features: Features) -> Result<Self> {
        let (origin, quota) = match &plan.start {
            Start::OnParent(None) => (None, quota),
            Start::OnParent(Some(parent)) => {
                (Some((parent.id.clone(), of(home, parent.home, &parent.id)?.guid)), quota)
            }
            Start::Replacing { layer, .. } => {
                let dataset = of(home, layer.home, &layer.id)?;
                (Some((layer.id.clone(), dataset.guid)), dataset.quota)
            }
        };
        let place = home.tempdirs().create()?;
        let (name, shift) = (name_of(&place), plan.shift());
        Ok(StagedDataset { home: home.clone(), features, name, place: Some(place), origin, shift, quota, root: None })
    }

    fn make_empty(&mut self) -> Result<()> {
        self.home.datasets.create(&self.name, &self.made()?)?;
        let root = self.mount()?;
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o555)).os("fchmod(0555)", &self.name)?;
        if self.shift.to().is_empty() {
            return Ok(());
        }
        let owner = self.shift.to().root()?;
        rustix::fs::fchown(&root, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
            .os("fchown", &self.name)
    }

    fn made(&self) -> Result<Made<'_>> {
        Ok(Made { quota: self.quota, owner: self.home.id()? })
    }

    fn make_clone(&self, from: &LayerId) -> Result<()> {
        let (datasets, made) = (&self.home.datasets, self.made()?);
        let from = from.as_str();
        let made = datasets
            .snapshot(&[from], &self.name, made.owner)
            .and_then(|()| datasets.clone_of(from, &self.name, &self.name, &made));
        // From now on it goes with the clone, or goes now.
        let deferred = datasets.destroy_snapshot(from, &self.name);
        match made {
            Err(error) if error.kind() == Kind::NotFound => Err(self.origin_changed().because(error)),
            made => made.and(deferred),
        }
    }

    /// The root of the dataset, mounted for writing by nobody but us.
    fn mount(&mut self) -> Result<OwnedFd> {
        if self.root.is_none() {
            let flags = MountFlags::parse(["nodev", "nosuid"]);
            self.root = Some(detached(&self.home.datasets.path(&self.name)?, &flags, self.features)?);
        }
        self.root()
    }

    fn check_origin(&self) -> Result<()> {
        let Some((id, guid)) = &self.origin else { return Ok(()) };
        match self.home.dataset(id) {
            Ok(dataset) if dataset.guid == *guid => Ok(()),
            Err(error) if error.kind() != Kind::NotFound => Err(error),
            _ => Err(self.origin_changed()),
        }
    }

    fn origin_changed(&self) -> Error {
        Error::new(Kind::Changed, "make layer")
            .at(&self.name)
            .detail("the layer that the new one starts from is not the same any more")
            .remedy("try again")
    }

    /// Makes sure that all is as it was when it began, and lets go of the mount.
    fn ready(&mut self) -> Result<()> {
        self.check_origin()?;
        self.place.as_ref().map_or(Ok(()), TempDir::check)?;
        self.root = None;
        Ok(())
    }

    pub(crate) fn commit_as(&mut self, id: &LayerId) -> Result<()> {
        self.ready()?;
        if is_ours(id.as_str()) {
            return Err(Error::new(Kind::InvalidId, "commit layer").detail(format!("{id} can't be a layer")));
        }
        self.home.datasets.rename(&self.name, id.as_str())?;
        self.place = None;
        Ok(())
    }

    pub(crate) fn replace_content(&mut self, id: &LayerId) -> Result<Option<TrashedDataset>> {
        self.ready()?;
        let target = self.home.mount_point(id);
        if is_mount_root(&target)? {
            return Err(Error::new(Kind::Busy, "replace layer").at(target).detail("the layer is mounted"));
        }
        if self.home.owner(self.home.dataset(id)?.owner.as_deref())? == Owner::Unknown {
            adopt(&self.home, id)?;
        }
        let (datasets, former) = (&self.home.datasets, former_name(&self.name, id.as_str()));
        datasets.rename(id.as_str(), &former)?;
        datasets.rename(&self.name, id.as_str()).inspect_err(|_| {
            let _ = datasets.rename(&former, id.as_str());
        })?;
        Ok(Some(TrashedDataset { home: self.home.clone(), name: former, _place: self.place.take() }))
    }
}

/// The dataset of a layer that another starts from.
fn of(home: &Home, place: Place, id: &LayerId) -> Result<crate::listing::Dataset> {
    crate::driver::check_place(place)?;
    home.dataset(id)
}

impl Staged for StagedDataset {
    fn fill(&mut self, task: &Task) -> Result<()> {
        task.step(0, 1)?;
        let Some((id, _)) = self.origin.clone() else { return self.make_empty() };
        self.make_clone(&id)?;
        let root = self.mount()?;
        if self.shift.is_nothing() {
            return Ok(());
        }
        chown_tree(root, Path::new(&self.name), &self.shift, Threads::available(), task)
    }

    fn root(&self) -> Result<OwnedFd> {
        match &self.root {
            Some(root) => root.try_clone().os("dup", &self.name),
            None => Err(Error::new(Kind::Io, "open layer").at(&self.name).detail("it is not mounted yet")),
        }
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Apply
    }

    fn maps(&self) -> &Maps {
        self.shift.to()
    }

    fn identity(&self) -> Result<String> {
        Ok(self.home.datasets.get(&self.name)?.guid)
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.commit_as(id)
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(Reclaimable(self.replace_content(id)?)))
    }
}

impl Drop for StagedDataset {
    /// What can't be destroyed now is swept later.
    fn drop(&mut self) {
        self.root = None;
        if self.place.is_some() {
            let _ = destroy(&self.home, &self.name);
        }
    }
}
