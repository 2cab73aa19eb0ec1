//! A layer in the making: a copy of its parent.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use storage_core::archive::Whiteouts;
use storage_core::driver::{Exclusive, Homes, PinnedDir, Plan, Refusals, Staged, StagingPlace, Start, Trash};
use storage_core::error::{OsContext, Result};
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{lasting_identity, open_directory};
use storage_core::idmap::{Maps, Shift, Threads, chown_tree};
use storage_core::ids::LayerId;
use storage_core::task::Task;

use crate::home::Home;
use crate::options::check_layer_options;

/// The name of the tree in its staging place.
const TREE: &str = "layer";

/// A tree in the making.
#[derive(Debug)]
pub(crate) struct StagedTree {
    /// Where the layer will stand.
    home: Home,
    place: StagingPlace,
    /// How owners change in the copy.
    shift: Shift,
    refusals: Refusals,
}

impl StagedTree {
    pub(crate) fn begin(homes: &Homes<Home>, plan: &Plan, refusals: Refusals) -> Result<Self> {
        check_layer_options(&plan.options)?;
        let home = homes.writable(plan.home)?.clone();
        let origin = match &plan.start {
            Start::OnParent(None) => None,
            Start::OnParent(Some(layer)) | Start::Replacing { layer, .. } => {
                let home = homes.of(layer.home)?;
                Some(PinnedDir::open_in(layer.home, home.root(), home.layer(&layer.id))?)
            }
        };
        let is_base = origin.is_none();
        let place = StagingPlace::new(home.tempdirs(), origin)?;
        let tree = place.path(TREE);
        std::fs::DirBuilder::new().mode(0o700).create(&tree).os("mkdir", &tree)?;
        if is_base {
            let mode = std::fs::Permissions::from_mode(0o555);
            std::fs::set_permissions(&tree, mode).os("chmod", &tree)?;
            if !plan.maps.is_empty() {
                let root = plan.maps.root()?;
                std::os::unix::fs::chown(&tree, Some(root.uid), Some(root.gid)).os("chown", &tree)?;
            }
        }
        Ok(StagedTree { home, place, shift: plan.shift(), refusals })
    }

    fn tree(&self) -> PathBuf {
        self.place.path(TREE)
    }

    pub(crate) fn commit_as(&self, id: &LayerId) -> Result<()> {
        self.place.commit(TREE, &self.home.layer(id))
    }

    pub(crate) fn replace_content(&mut self, id: &LayerId) -> Result<Option<Trashed>> {
        self.place.check_origin()?;
        self.place.replace(TREE, &self.home.layer(id))
    }
}

impl Staged for StagedTree {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let Some(origin) = self.place.origin() else { return Ok(()) };
        let to = self.tree();
        copy_tree(
            Side { root: origin.readable()?, path: origin.path() },
            Side { root: open_directory(&to)?, path: &to },
            task,
        )?;
        if self.shift.is_nothing() {
            return Ok(());
        }
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
        lasting_identity(self.root()?, &self.tree())
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.commit_as(id)
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.replace_content(id)?))
    }
}
