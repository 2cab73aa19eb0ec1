//! A layer in the making: a copy of its parent.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use storage_core::archive::Whiteouts;
use storage_core::driver::{Exclusive, Pin, PinnedDir, Plan, Staged, Start, Trash};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{TempDir, lasting_identity, open_directory};
use storage_core::ids::LayerId;
use storage_core::task::Task;

use crate::home::Home;
use crate::options::check_layer_options;

/// The name of the tree in its staging place.
const TREE: &str = "layer";

/// A tree in the making.
#[derive(Debug)]
pub(crate) struct StagedTree {
    home: Home,
    place: TempDir,
    /// What is copied, held so that nothing else can have its identity.
    origin: Option<PinnedDir>,
}

impl StagedTree {
    pub(crate) fn begin(home: &Home, plan: &Plan) -> Result<Self> {
        check_layer_options(&plan.options)?;
        let origin = match &plan.start {
            Start::OnParent(None) => None,
            Start::OnParent(Some(layer)) | Start::Replacing { layer, .. } => {
                Some(PinnedDir::open(home.layer(&layer.id))?)
            }
        };
        let place = home.tempdirs().create()?;
        let tree = place.path().join(TREE);
        std::fs::DirBuilder::new().mode(0o700).create(&tree).os("mkdir", &tree)?;
        if origin.is_none() {
            let mode = std::fs::Permissions::from_mode(0o555);
            std::fs::set_permissions(&tree, mode).os("chmod", &tree)?;
        }
        Ok(StagedTree { home: home.clone(), place, origin })
    }

    fn tree(&self) -> PathBuf {
        self.place.path().join(TREE)
    }

    /// Fails unless what this was copied from is still there, the same.
    fn check_origin(&self) -> Result<()> {
        self.origin.as_ref().map_or(Ok(()), |origin| {
            origin.check().map_err(|error| {
                error.detail("the layer that the new one starts from is not the same any more").remedy("try again")
            })
        })
    }

    pub(crate) fn commit_as(&self, id: &LayerId) -> Result<()> {
        self.check_origin()?;
        let target = self.home.layer(id);
        self.place.move_out(TREE, &target).map_err(|error| match error.errno() {
            Some(libc::EEXIST) => Error::new(Kind::DuplicateId, "commit layer").at(&target).because(error),
            _ => error,
        })
    }

    pub(crate) fn replace_content(&self, id: &LayerId) -> Result<Option<Trashed>> {
        self.check_origin()?;
        let target = self.home.layer(id);
        self.place.exchange(TREE, &target)?;
        // The former content now lies where this was made.
        self.home.tempdirs().trash(&self.tree()).inspect_err(|_| {
            let _ = self.place.exchange(TREE, &target);
        })
    }
}

impl Staged for StagedTree {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let Some(from) = self.origin.as_ref().map(PinnedDir::path) else { return Ok(()) };
        let to = self.tree();
        copy_tree(
            Side { root: open_directory(from)?, path: from },
            Side { root: open_directory(&to)?, path: &to },
            task,
        )
    }

    fn root(&self) -> Result<OwnedFd> {
        open_directory(&self.tree())
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Apply
    }

    fn identity(&self) -> Result<String> {
        lasting_identity(self.root()?, &self.tree())
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.commit_as(id)
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        let former = self.replace_content(id)?;
        // What it started from is trash now, which is left alone as long as somebody has a view of it.
        self.origin = None;
        Ok(Box::new(former))
    }
}
