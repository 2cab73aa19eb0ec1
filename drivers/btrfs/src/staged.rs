//! A layer in the making: a snapshot of its parent.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use storage_core::archive::Whiteouts;
use storage_core::driver::{Exclusive, Homes, PinnedDir, Plan, Refusals, Staged, StagingPlace, Start, Trash};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::atomic::rename_over;
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::open_directory;
use storage_core::fs::remove::remove_tree;
use storage_core::fs::tempdir::Trashed;
use storage_core::idmap::{Maps, Owner, Shift, Threads, chown_tree};
use storage_core::ids::LayerId;
use storage_core::sys::btrfs::{self, Writing};
use storage_core::task::Task;

use crate::home::{Home, make_dir};
use crate::options::Options;
use crate::snapshot::{self, Written};
use crate::{quota, view};

/// The name of the tree in its staging place.
const TREE: &str = "layer";
/// The name of the file with its limit.
const LIMIT: &str = "limit";
/// How often a snapshot of a layer that is being written to is taken again.
const ATTEMPTS: usize = 4;

/// A subvolume in the making.
#[derive(Debug)]
pub(crate) struct StagedSubvolume {
    /// Where the layer will stand.
    home: Home,
    place: StagingPlace,
    /// How owners change in the copy.
    shift: Shift,
    /// Who owns the root of a layer that stands on nothing, where its maps say so.
    root_owner: Option<Owner>,
    refusals: Refusals,
    limit: Option<u64>,
    replaces: bool,
    /// When what is replaced was last written to before it was copied.
    written: Option<Written>,
}

impl StagedSubvolume {
    pub(crate) fn begin(homes: &Homes<Home>, plan: &Plan, options: &Options) -> Result<Self> {
        let home = homes.writable(plan.home)?.clone();
        let pin = |layer: &storage_core::driver::LayerRef| {
            let home = homes.of(layer.home)?;
            PinnedDir::open_in(layer.home, home.root(), home.layer(&layer.id))
        };
        let (origin, limit) = match &plan.start {
            Start::OnParent(parent) => {
                (parent.as_ref().map(pin).transpose()?, options.limit(plan.writable, &plan.options)?)
            }
            Start::Replacing { layer, .. } => (Some(pin(layer)?), quota::read(&home.quota(&layer.id))?),
        };
        let owned = origin.is_none() && !plan.maps.is_empty();
        Ok(StagedSubvolume {
            place: StagingPlace::new(home.tempdirs(), origin)?,
            home,
            shift: plan.shift(),
            root_owner: owned.then(|| plan.maps.root()).transpose()?,
            refusals: options.refusals,
            limit,
            replaces: matches!(plan.start, Start::Replacing { .. }),
            written: None,
        })
    }

    fn tree(&self) -> PathBuf {
        self.place.path(TREE)
    }

    fn make_empty(&self) -> Result<()> {
        let (tree, dir) = (self.tree(), open_directory(&self.place.path(""))?);
        btrfs::create_subvolume(dir.as_fd(), OsStr::new(TREE)).os("ioctl(BTRFS_IOC_SUBVOL_CREATE_V2)", &tree)
    }

    fn make_base(&self) -> Result<()> {
        self.make_empty()?;
        let tree = self.tree();
        if let Some(owner) = self.root_owner {
            std::os::unix::fs::chown(&tree, Some(owner.uid), Some(owner.gid)).os("chown", &tree)?;
        }
        std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o555)).os("chmod", &tree)
    }

    /// Snapshots what the layer starts from; copies it where that can't be.
    fn copy(&mut self, task: &Task) -> Result<()> {
        let Some(origin) = self.place.origin() else { return self.make_base() };
        let written = self.replaces.then(|| self.snapshot_origin(origin, task)).transpose()?;
        let there = match written {
            Some(_) => self.tree().is_dir(),
            None => snapshot::take(origin, &self.place.path(""), TREE, Writing::Allowed)?,
        };
        if !there {
            self.make_empty()?;
            let to = self.tree();
            copy_tree(
                Side { root: origin.readable()?, path: origin.path() },
                Side { root: open_directory(&to)?, path: &to },
                task,
            )?;
        }
        self.written = written.flatten();
        Ok(())
    }

    /// Snapshots what will be replaced, so that whatever is written to it later is noticed. Nothing is made where there can be
    /// no snapshot, and what is never at rest is refused: what was told last may tell of a write that no snapshot has.
    fn snapshot_origin(&self, origin: &PinnedDir, task: &Task) -> Result<Option<Written>> {
        let (tree, dir) = (self.tree(), self.place.path(""));
        let tell = || Written::of(origin.readable()?.as_fd(), origin.path());
        let copied = copy_at_rest(tell, |attempt| {
            task.step(0, 0)?;
            if attempt > 0 {
                remove_tree(&tree, task)?;
            }
            snapshot::take(origin, &dir, TREE, Writing::Allowed)
        })?;
        match copied {
            Copied::Cannot => Ok(None),
            Copied::AtRest(written) => Ok(Some(written)),
            Copied::NeverAtRest => Err(written_to(origin)),
        }
    }

    fn write_limit(&self) -> Result<()> {
        let Some(bytes) = self.limit else { return Ok(()) };
        quota::apply(self.root()?.as_fd(), bytes, &self.tree())?;
        let file = self.place.path(LIMIT);
        let mut options = std::fs::File::options();
        let written = options.write(true).create_new(true).mode(0o644).open(&file);
        written
            .and_then(|mut file| std::io::Write::write_all(&mut file, bytes.to_string().as_bytes()))
            .os("write", &file)
    }

    pub(crate) fn commit_as(&self, id: &LayerId) -> Result<()> {
        let (target, file) = (self.home.layer(id), self.home.quota(id));
        self.place.commit(TREE, &target)?;
        let placed = match (self.limit, file.parent()) {
            (Some(_), Some(dir)) => make_dir(dir).and_then(|()| rename_over(&self.place.path(LIMIT), &file)),
            _ => forget_limit(&self.home, id),
        };
        placed.inspect_err(|_| self.place.take_back(&target))
    }

    pub(crate) fn replace_content(&mut self, id: &LayerId) -> Result<Option<Trashed>> {
        self.place.check_origin()?;
        if let (Some(written), Some(origin)) = (self.written, self.place.origin())
            && Written::of(origin.as_fd(), origin.path())? != written
        {
            return Err(written_to(origin));
        }
        self.place.replace(TREE, &self.home.layer(id))
    }
}

/// What became of a copy of something that may be written to.
#[derive(Debug, PartialEq, Eq)]
enum Copied<T> {
    /// There can be none.
    Cannot,
    /// It has all that was written, as was told before and after it was made.
    AtRest(T),
    /// Something was written to it in every attempt.
    NeverAtRest,
}

/// Copies until what is told before and after is the same. A snapshot flushes what was written, which counts as writing, so a
/// second one may be needed.
fn copy_at_rest<T: PartialEq>(
    mut tell: impl FnMut() -> Result<T>,
    mut copy: impl FnMut(usize) -> Result<bool>,
) -> Result<Copied<T>> {
    let mut before = tell()?;
    for attempt in 0..ATTEMPTS {
        if !copy(attempt)? {
            return Ok(Copied::Cannot);
        }
        let after = tell()?;
        if after == before {
            return Ok(Copied::AtRest(before));
        }
        before = after;
    }
    Ok(Copied::NeverAtRest)
}

fn written_to(layer: &PinnedDir) -> Error {
    Error::new(Kind::Changed, "replace layer")
        .at(layer.path())
        .detail("it was written to meanwhile")
        .remedy("try again")
}

/// Removes the file with the limit of a layer, where there is one.
pub(crate) fn forget_limit(home: &Home, id: &LayerId) -> Result<()> {
    let file = home.quota(id);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).os("unlink", &file),
        _ => Ok(()),
    }
}

impl Staged for StagedSubvolume {
    fn fill(&mut self, task: &Task) -> Result<()> {
        task.step(0, 0)?;
        self.copy(task)?;
        self.write_limit()?;
        if self.shift.is_nothing() {
            return Ok(());
        }
        let to = self.tree();
        chown_tree(open_directory(&to)?, &to, &self.shift, Threads::available(), task)
    }

    fn root(&self) -> Result<OwnedFd> {
        open_directory(&self.tree())
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Apply
    }

    fn maps(&self) -> &Maps {
        self.shift.to()
    }

    fn refusals(&self) -> Refusals {
        self.refusals
    }

    fn identity(&self) -> Result<String> {
        view::identity(&self.root()?, &self.tree())
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.commit_as(id)
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.replace_content(id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies what is written to after each of the first `busy` copies; what came of it, and how many copies were made.
    fn copies(busy: usize) -> (Copied<usize>, usize) {
        let (written, made) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let copied = copy_at_rest(
            || Ok(written.get()),
            |_| {
                made.set(made.get() + 1);
                written.set(written.get() + usize::from(made.get() <= busy));
                Ok(true)
            },
        );
        (copied.expect("nothing fails"), made.get())
    }

    #[test]
    fn a_copy_stands_only_when_nothing_was_written_while_it_was_made() {
        assert_eq!(copies(0), (Copied::AtRest(0), 1));
        assert_eq!(copies(1), (Copied::AtRest(1), 2));
        assert_eq!(copies(ATTEMPTS - 1), (Copied::AtRest(ATTEMPTS - 1), ATTEMPTS));
        assert_eq!(copies(ATTEMPTS), (Copied::NeverAtRest, ATTEMPTS));
        assert_eq!(copy_at_rest(|| Ok(()), |_| Ok(false)).expect("nothing fails"), Copied::Cannot);
    }
}
