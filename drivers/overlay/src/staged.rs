//! A layer in the making: a directory of changes that nobody has made yet.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use storage_core::archive::Whiteouts;
use storage_core::driver::{Exclusive, LayerRef, Pin, PinnedDir, Plan, Staged, Start, Trash};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{TempDir, lasting_identity, open_directory};
use storage_core::ids::LayerId;
use storage_core::mount::{MAX_LOWERS, is_mount_root};
use storage_core::task::Task;

use crate::chain::lowers;
use crate::heal::{find_link, make_link};
use crate::home::{Home, LinkName, make_dir, read_link_file, write_new};
use crate::options::check_layer_options;
use crate::part::Part;

/// The name of the layer in its staging place.
const LAYER: &str = "layer";
/// What is exchanged when a layer is replaced.
const DIFF: &str = "layer/diff";

/// A layer in the making.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    home: Home,
    place: TempDir,
    user_xattr: bool,
    /// The directory that must still be there at the end, held so that nothing else can have its identity.
    origin: Option<PinnedDir>,
    /// The changes to start with.
    copy_of: Option<PathBuf>,
    link: LinkName,
}

impl StagedLayer {
    pub(crate) fn begin(home: &Home, plan: &Plan, user_xattr: bool) -> Result<Self> {
        check_layer_options(&plan.options)?;
        let place = home.tempdirs().create()?;
        let link = LinkName::random()?;
        let mut staged = StagedLayer { home: home.clone(), place, user_xattr, origin: None, copy_of: None, link };
        make_dir(&staged.layer(), 0o700)?;
        match &plan.start {
            Start::OnParent(parent) => staged.lay_out(parent.as_ref())?,
            Start::Replacing { layer, empty } => {
                Part::open(home, &layer.id)?;
                let diff = home.diff(&layer.id);
                staged.origin = Some(PinnedDir::open(&diff)?);
                staged.make_diff_like(&diff)?;
                staged.copy_of = (!empty).then_some(diff);
            }
        }
        Ok(staged)
    }

    fn layer(&self) -> PathBuf {
        self.place.path().join(LAYER)
    }

    fn diff(&self) -> PathBuf {
        self.place.path().join(DIFF)
    }

    /// Makes all of a layer but its name in `l/`.
    fn lay_out(&mut self, parent: Option<&LayerRef>) -> Result<()> {
        let layer = self.layer();
        for name in ["work", "merged"] {
            make_dir(&layer.join(name), 0o700)?;
        }
        write_new(&layer.join("link"), self.link.as_str())?;
        let Some(parent) = parent else {
            make_dir(&layer.join("empty"), 0o700)?;
            return make_dir(&self.diff(), 0o555);
        };
        Part::open(&self.home, &parent.id)?;
        self.origin = Some(PinnedDir::open(self.home.layer(&parent.id))?);
        write_new(&layer.join("lower"), &lower_on(&self.home, parent)?)?;
        self.make_diff_like(&self.home.diff(&parent.id))
    }

    /// Makes the directory of changes with the owner and the mode of another's.
    fn make_diff_like(&self, model: &Path) -> Result<()> {
        let diff = self.diff();
        let metadata = std::fs::symlink_metadata(model).os("lstat", model)?;
        make_dir(&diff, 0o700)?;
        std::os::unix::fs::chown(&diff, Some(metadata.uid()), Some(metadata.gid())).os("chown", &diff)?;
        let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o7777);
        std::fs::set_permissions(&diff, mode).os("chmod", &diff)
    }

    /// Fails unless what this started from is still there, the same.
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
        self.place.move_out(LAYER, &target).map_err(|error| match error.errno() {
            Some(libc::EEXIST) => Error::new(Kind::DuplicateId, "commit layer").at(&target).because(error),
            _ => error,
        })?;
        make_link(&self.home, &self.link, id).inspect_err(|_| {
            // The layer isn't one before it has its name: it goes back to where it was made.
            let _ = self.home.tempdirs().trash(&target);
        })
    }

    pub(crate) fn replace_content(&self, id: &LayerId) -> Result<Option<Trashed>> {
        self.check_origin()?;
        let merged = self.home.merged(id);
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "replace layer").at(merged).detail("the layer is mounted"));
        }
        let target = self.home.diff(id);
        self.drop_index(id)?;
        self.place.exchange(DIFF, &target)?;
        // The former content now lies where this was made.
        self.home.tempdirs().trash(&self.diff()).inspect_err(|_| {
            let _ = self.place.exchange(DIFF, &target);
        })
    }

    /// An index in the kernel's work directory names the changes by their inode, and would refuse the new ones.
    fn drop_index(&self, id: &LayerId) -> Result<()> {
        let work = self.home.layer(id).join("work");
        if !work.join("index").exists() {
            return Ok(());
        }
        make_dir(&self.layer().join("work"), 0o700)?;
        self.place.exchange("layer/work", &work)
    }
}

/// What the `lower` file of a layer on `parent` says. The new layer must also be shown as a lower one among others, so what
/// is below it leaves room for itself.
fn lower_on(home: &Home, parent: &LayerRef) -> Result<String> {
    let path = home.layer(&parent.id);
    let link = match read_link_file(&path)? {
        Some(link) => link,
        None => find_link(home, &parent.id)?.ok_or_else(|| {
            Error::new(Kind::Corrupt, "begin layer")
                .at(path.join("link"))
                .detail(format!("layer {} has lost its short name", parent.id))
                .remedy("`lamina repair` makes a new one")
        })?,
    };
    let below = lowers(home, parent)?;
    if below.len() + 1 >= MAX_LOWERS {
        return Err(Error::new(Kind::NotSupported, "begin layer")
            .at(path)
            .detail(format!("max depth exceeded: the kernel stacks {MAX_LOWERS} layers")));
    }
    let links = std::iter::once(&link).chain(below.iter().map(|step| &step.link));
    let names: Vec<_> = links.map(|link| format!("l/{}", link.as_str())).collect();
    Ok(names.join(":"))
}

impl Staged for StagedLayer {
    fn fill(&mut self, task: &Task) -> Result<()> {
        let Some(from) = &self.copy_of else { return Ok(()) };
        let to = self.diff();
        copy_tree(
            Side { root: open_directory(from)?, path: from },
            Side { root: open_directory(&to)?, path: &to },
            task,
        )
    }

    fn root(&self) -> Result<OwnedFd> {
        open_directory(&self.diff())
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: self.user_xattr }
    }

    fn identity(&self) -> Result<String> {
        let diff = self.diff();
        lasting_identity(self.root()?, &diff)
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
