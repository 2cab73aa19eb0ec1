//! A layer in the making: a directory of changes that nobody has made yet.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use storage_core::archive::Whiteouts;
use storage_core::driver::{
    Exclusive, Homes, LayerRef, Plan, Refusals, RootFrom, Shared, Staged, StagingPlace, Start, Trash, View,
};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::fs::copy::{Side, copy_tree};
use storage_core::fs::tempdir::Trashed;
use storage_core::fs::{lasting_identity, open_directory};
use storage_core::idmap::{Maps, Shift, Threads, chown_tree};
use storage_core::ids::LayerId;
use storage_core::mount::{MAX_LOWERS, is_mount_root};
use storage_core::task::Task;

use crate::chain::lowers;
use crate::heal::{find_link, make_link};
use crate::home::{Home, LinkName, make_dir, read_link_file, write_new};
use crate::options::check_layer_options;
use crate::part::Part;
use crate::view::{Way, view};

/// The name of the layer in its staging place.
const LAYER: &str = "layer";
/// What is exchanged when a layer is replaced.
const DIFF: &str = "layer/diff";
/// Earlier changes of the layer.
const EARLIER: &str = "layer/diff1";

/// A parent whose files are to have other owners in the new layer.
#[derive(Debug)]
struct Shifted {
    parent: View,
    shift: Shift,
}

/// A layer in the making.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    /// Where the layer will stand.
    home: Home,
    homes: Homes<Home>,
    place: StagingPlace,
    user_xattr: bool,
    maps: Maps,
    refusals: Refusals,
    /// The changes to start with.
    copy_of: Option<PathBuf>,
    /// The whole tree to start with, under new owners.
    shifted: Option<Shifted>,
    link: LinkName,
}

impl StagedLayer {
    pub(crate) fn begin(homes: &Homes<Home>, plan: &Plan, way: Way, refusals: Refusals) -> Result<Self> {
        check_layer_options(&plan.options)?;
        let home = homes.writable(plan.home)?;
        let (origin, copy_of) = match &plan.start {
            Start::OnParent(None) => (None, None),
            Start::OnParent(Some(parent)) => {
                (Some(Part::open(homes, &parent.id, parent.home).and_then(|part| part.pin_again())?), None)
            }
            Start::Replacing { layer, empty } => {
                let part = Part::open(homes, &layer.id, layer.home)?;
                (Some(part.pin_changes()?), (!empty).then(|| home.diff(&layer.id)))
            }
        };
        let shift = plan.shift();
        let shifted = match &plan.start {
            Start::OnParent(Some(parent)) if !shift.is_nothing() => {
                Some(Shifted { parent: view(homes, parent, way)?, shift })
            }
            _ => None,
        };
        let place = StagingPlace::new(home.tempdirs(), origin)?;
        let link = LinkName::random()?;
        let staged = StagedLayer {
            home: home.clone(),
            homes: homes.clone(),
            place,
            user_xattr: way.user_xattr,
            maps: plan.maps.clone(),
            refusals,
            copy_of,
            shifted,
            link,
        };
        make_dir(&staged.layer(), 0o700)?;
        match &plan.start {
            Start::OnParent(parent) => staged.lay_out(homes, parent.as_ref(), &plan.maps)?,
            Start::Replacing { layer, .. } => staged.make_diff_like(&home.diff(&layer.id))?,
        }
        Ok(staged)
    }

    fn layer(&self) -> PathBuf {
        self.place.path(LAYER)
    }

    fn diff(&self) -> PathBuf {
        self.place.path(DIFF)
    }

    /// Makes all of a layer but its name in `l/`.
    fn lay_out(&self, homes: &Homes<Home>, parent: Option<&LayerRef>, maps: &Maps) -> Result<()> {
        let layer = self.layer();
        for name in ["work", "merged"] {
            make_dir(&layer.join(name), 0o700)?;
        }
        write_new(&layer.join("link"), self.link.as_str())?;
        match parent {
            None => {
                make_dir(&layer.join("empty"), 0o700)?;
                make_dir(&self.diff(), 0o555)?;
            }
            Some(parent) => {
                write_new(&layer.join("lower"), &lower_on(homes, parent)?)?;
                self.make_diff_like(&homes.of(parent.home)?.diff(&parent.id))?;
            }
        }
        if maps.is_empty() {
            return Ok(());
        }
        let root = maps.root()?;
        for name in ["work", "merged", "empty", "diff", ""] {
            let path = layer.join(name);
            let is_new = name != "diff" || parent.is_none();
            if is_new && path.exists() {
                chown(&path, Some(root.uid), Some(root.gid)).os("chown", &path)?;
            }
        }
        Ok(())
    }

    /// Puts what was laid out without a parent on `parent`.
    fn put_on(&mut self, parent: &LayerRef, root: RootFrom) -> Result<()> {
        let origin = Part::open(&self.homes, &parent.id, parent.home).and_then(|part| part.pin_again())?;
        write_new(&self.layer().join("lower"), &lower_on(&self.homes, parent)?)?;
        let empty = self.layer().join("empty");
        std::fs::remove_dir(&empty).os("rmdir", &empty)?;
        if root == RootFrom::Parent {
            let model = self.homes.of(parent.home)?.diff(&parent.id);
            make_like(&self.diff(), &model)?;
        }
        self.place.start_from(origin);
        Ok(())
    }

    /// Makes the parent's whole tree under new owners: as earlier changes of the layer, directly below those to come, where
    /// the reference has it too.
    fn fill_shifted(&self, Shifted { parent, shift }: &Shifted, task: &Task) -> Result<()> {
        let to = self.place.path(EARLIER);
        make_dir(&to, 0o700)?;
        let from = parent.root().try_clone_to_owned().os("dup", &to)?;
        copy_tree(Side { root: from, path: &to }, Side { root: open_directory(&to)?, path: &to }, task)?;
        chown_tree(open_directory(&to)?, &to, shift, Threads::available(), task)?;
        let root = std::fs::symlink_metadata(&to).os("lstat", &to)?;
        let diff = self.diff();
        chown(&diff, Some(root.uid()), Some(root.gid())).os("chown", &diff)
    }

    /// Makes the directory of changes with the owner and the mode of another's.
    fn make_diff_like(&self, model: &Path) -> Result<()> {
        let diff = self.diff();
        make_dir(&diff, 0o700)?;
        make_like(&diff, model)
    }

    pub(crate) fn commit_as(&self, id: &LayerId) -> Result<()> {
        let target = self.home.layer(id);
        self.place.commit(LAYER, &target)?;
        // The layer isn't one before it has its name: it goes back to where it was made.
        make_link(&self.home, &self.link, id).inspect_err(|_| self.place.take_back(&target))
    }

    pub(crate) fn replace_content(&mut self, id: &LayerId) -> Result<Option<Trashed>> {
        self.place.check_origin()?;
        let merged = self.home.merged(id);
        if is_mount_root(&merged)? {
            return Err(Error::new(Kind::Busy, "replace layer").at(merged).detail("the layer is mounted"));
        }
        self.drop_index(id)?;
        self.place.replace(DIFF, &self.home.diff(id))
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

/// Gives a directory the owner and the mode of another.
fn make_like(path: &Path, model: &Path) -> Result<()> {
    let metadata = std::fs::symlink_metadata(model).os("lstat", model)?;
    match chown(path, Some(metadata.uid()), Some(metadata.gid())) {
        // The owner has no id in this user namespace: the other stands in a store of somebody else's.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        done => done.os("chown", path)?,
    }
    let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o7777);
    std::fs::set_permissions(path, mode).os("chmod", path)
}

/// What the `lower` file of a layer on `parent` says. The new layer must also be shown as a lower one among others, so what
/// is below it leaves room for itself.
fn lower_on(homes: &Homes<Home>, parent: &LayerRef) -> Result<String> {
    let home = homes.of(parent.home)?;
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
    check_not_ours(homes, parent, &link)?;
    let below = lowers(homes, parent)?;
    if below.len() + 1 >= MAX_LOWERS {
        return Err(Error::new(Kind::NotSupported, "begin layer")
            .at(path)
            .detail(format!("max depth exceeded: the kernel stacks {MAX_LOWERS} layers")));
    }
    let links = std::iter::once(&link).chain(below.iter().map(|step| &step.link));
    let names: Vec<_> = links.map(|link| format!("l/{}", link.as_str())).collect();
    Ok(names.join(":"))
}

/// Refuses a name by which the layers of an additional store would be taken for ours: the reference looks here first.
fn check_not_ours(homes: &Homes<Home>, parent: &LayerRef, link: &LinkName) -> Result<()> {
    let mut ours = homes.writable_ones().map(|home| home.links().join(link.as_str()));
    if parent.home.is_writable() || !ours.any(|path| std::fs::symlink_metadata(path).is_ok()) {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, "begin layer")
        .at(homes.of(parent.home)?.layer(&parent.id).join("link"))
        .detail(format!("the short name {} of layer {} is that of a layer of this store", link.as_str(), parent.id)))
}

impl Staged for StagedLayer {
    fn fill(&mut self, task: &Task) -> Result<()> {
        if let Some(shifted) = self.shifted.take() {
            return self.fill_shifted(&shifted, task);
        }
        let Some(from) = &self.copy_of else { return Ok(()) };
        let to = self.diff();
        copy_tree(
            Side { root: open_directory(from)?, path: from },
            Side { root: open_directory(&to)?, path: &to },
            task,
        )
    }

    fn settle(&mut self, _held: &Shared<'_>, parent: &LayerRef, root: RootFrom) -> Result<()> {
        self.put_on(parent, root)
    }

    fn root(&self) -> Result<OwnedFd> {
        open_directory(&self.diff())
    }

    fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Overlay { user_xattr: self.user_xattr }
    }

    fn maps(&self) -> &Maps {
        &self.maps
    }

    fn refusals(&self) -> Refusals {
        self.refusals
    }

    fn identity(&self) -> Result<String> {
        let diff = self.diff();
        lasting_identity(self.root()?, &diff)
    }

    fn commit(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<()> {
        self.commit_as(id)
    }

    fn replace(&mut self, _held: &mut Exclusive<'_>, id: &LayerId) -> Result<Box<dyn Trash>> {
        Ok(Box::new(self.replace_content(id)?))
    }
}
