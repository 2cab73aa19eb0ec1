//! Mounts that show owners through id maps.
//!
//! What stands below is kept without maps and shown through id-mapped clones. The directory of changes can't be mapped by
//! the kernel: there a container makes files as the ids that it has on the host, so it is shown as it is, and its root is
//! given to the container.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;

use storage_core::driver::{self, Homes, LayerRef};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::idmap::{Maps, Namespace, Owner};
use storage_core::mount::{Mapped, Overlay as Stack, Source};

use crate::Overlay;
use crate::home::Home;
use crate::part::Part;

impl Overlay {
    /// Maps the owners of what the mount `stack` of `layer` shows. `parts` are the layer and what it stands on.
    pub(crate) fn map_owners(
        &self,
        stack: &mut Stack,
        layer: &LayerRef,
        namespace: &Namespace,
        parts: &[Arc<Part>],
    ) -> Result<()> {
        if self.mapping.get() == Some(&false) {
            return Err(Error::new(Kind::NotSupported, "mount layer")
                .at(self.homes.own().root())
                .detail("layers can't be mounted with mapped owners here")
                .remedy("make the layer with the owners that it shall have"));
        }
        // Of its own changes a container is the owner already; those of an image were made without maps.
        let made_inside = usize::from(layer.home == driver::Home::Own);
        let mut lowers: Vec<Source> =
            if stack.upper.is_none() { stack.lowers.drain(..made_inside).collect() } else { Vec::new() };
        let below = parts.iter().flat_map(|part| part.sources().map(move |source| (part, source))).skip(made_inside);
        lowers.extend(below.map(|(part, source)| mapped(&self.homes, part, source, namespace)));
        if let ([only], Some(empty)) = (parts, stack.lowers.pop())
            && only.is_single()
        {
            let mapped = Some(Mapped { namespace: namespace.clone(), root: empty.path.clone() });
            lowers.push(Source { mapped, short: None, ..empty });
        }
        stack.lowers = lowers;
        match &stack.upper {
            Some(upper) => give_to_container(&upper.dir.path, namespace.maps()),
            None => Ok(()),
        }
    }
}

/// One clone serves for all layers of a home of ours. Each of an additional store has its own: the way there is its owner's
/// to change.
pub(crate) fn mapped(homes: &Homes<Home>, part: &Part, source: Source, namespace: &Namespace) -> Source {
    let root = match homes.writable(part.layer.home) {
        Ok(home) => home.root().to_path_buf(),
        Err(_) => source.path.clone(),
    };
    let mapped = Some(Mapped { namespace: namespace.clone(), root });
    Source { mapped, held: None, short: None, ..source }
}

/// Gives the root of a container's changes to whom it belongs to inside, unless it is somebody's there already.
fn give_to_container(diff: &Path, maps: &Maps) -> Result<()> {
    let metadata = std::fs::symlink_metadata(diff).os("lstat", diff)?;
    let owner = Owner { uid: metadata.uid(), gid: metadata.gid() };
    if maps.to_container(owner).is_some() {
        return Ok(());
    }
    let inside = match maps.to_host(owner) {
        Some(owner) => owner,
        None => maps.root()?,
    };
    chown(diff, Some(inside.uid), Some(inside.gid)).os("chown", diff)
}
