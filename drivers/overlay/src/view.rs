//! Read-only sights of layers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use storage_core::driver::{Homes, LayerRef, Pin, View};
use storage_core::error::Result;
use storage_core::fs::TempDir;
use storage_core::idmap::Namespace;
use storage_core::mount::{Features, MountFlags, Overlay as Stack, Source, read_only_clone};

use crate::chain::Parts;
use crate::home::{Home, make_dir};
use crate::mapping::mapped;
use crate::part::Part;

/// How views are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) features: Features,
    /// Overlay's xattrs are in `user.`, as in a user namespace.
    pub(crate) user_xattr: bool,
}

/// A read-only sight of the layer's whole tree.
pub(crate) fn view(homes: &Homes<Home>, layer: &LayerRef, way: Way) -> Result<View> {
    let mut parts = Parts::default();
    let chain = parts.chain(homes, layer)?;
    let mut pins = pins(&parts, &chain)?;
    let root = stack(homes, &chain, None, way, &mut pins)?;
    Ok(View::new(root, pins))
}

/// The layer's own changes under their own names.
pub(crate) fn own_files(homes: &Homes<Home>, layer: &LayerRef, way: Way) -> Result<View> {
    let part = Part::open(homes, &layer.id, layer.home)?;
    let hold = part.pin_changes()?;
    let mut pins: Vec<Box<dyn Pin>> = vec![Box::new(Arc::clone(&part)), Box::new(hold)];
    let root = if part.is_single() {
        read_only_clone(&part.pin.path().join("diff"), Some(part.diff_id()), way.features)?
    } else {
        stack(homes, std::slice::from_ref(&part), None, way, &mut pins)?
    };
    Ok(View::new(root, pins))
}

/// The holds of a view. Of the topmost layer the changes are held too: they can be replaced while nothing stands on it.
pub(crate) fn pins(parts: &Parts, chain: &[Arc<Part>]) -> Result<Vec<Box<dyn Pin>>> {
    let mut pins: Vec<Box<dyn Pin>> = Vec::new();
    for part in parts.all() {
        pins.push(Box::new(Arc::clone(part)));
    }
    if let Some(top) = chain.first() {
        pins.push(Box::new(top.pin_changes()?));
    }
    Ok(pins)
}

/// Stacks the layers of a chain, without anything to write to; what the first stands on is shown under the maps of `below`.
/// What must outlive the sight is added to `pins`.
pub(crate) fn stack(
    homes: &Homes<Home>,
    chain: &[Arc<Part>],
    below: Option<&Namespace>,
    way: Way,
    pins: &mut Vec<Box<dyn Pin>>,
) -> Result<OwnedFd> {
    let mut lowers: Vec<Source> = chain.iter().flat_map(|part| part.sources()).collect();
    if let ([only], Some(part)) = (lowers.as_slice(), chain.last()) {
        let empty = match part.empty()?.filter(|empty| empty.id != only.id) {
            Some(empty) => empty,
            None => Ground::make(homes.own(), pins)?,
        };
        lowers.push(empty);
    }
    if let Some(below) = below {
        let parts = chain.iter().flat_map(|part| part.sources().map(move |_| part));
        let of_chain = lowers.iter_mut().zip(parts).skip(1);
        of_chain.for_each(|(lower, part)| *lower = mapped(homes, part, lower.clone(), below));
    }
    let options = view_options(way.user_xattr);
    Stack { lowers, upper: None, options }.view(way.features)
}

/// An empty directory in staging, for a layer that stands on nothing and has lost its own, or whose own isn't relied on.
///
/// It stays as long as the sight: the kernel ends a listing short, without an error, when a directory that it merges is
/// deleted.
#[derive(Debug)]
struct Ground(TempDir);

impl Ground {
    fn make(home: &Home, pins: &mut Vec<Box<dyn Pin>>) -> Result<Source> {
        let place = home.tempdirs().create()?;
        let path = place.path().join("empty");
        make_dir(&path, 0o700)?;
        pins.push(Box::new(Ground(place)));
        Ok(Source::at(path))
    }
}

impl Pin for Ground {
    fn check(&self) -> Result<()> {
        self.0.check()
    }
}

/// What the files themselves say about renames and copies without data is believed, whatever the configuration.
fn view_options(user_xattr: bool) -> MountFlags {
    MountFlags::parse([if user_xattr { "userxattr" } else { "metacopy=on" }])
}
