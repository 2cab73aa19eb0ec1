//! What can be derived and is made again when it was lost: short names, and the directories of a mount.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use storage_core::driver::{Ancestor, Homes, LayerRef};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::ids::LayerId;

use crate::chain::{Step, owner_by_link};
use crate::home::{Home, LinkName, make_dir, read_link_file, read_lower_file, write_new};

/// Restores what `layer` itself has lost, and the short names that it stands on.
pub(crate) fn heal(homes: &Homes<Home>, layer: &LayerRef) -> Result<()> {
    let home = homes.of(layer.home)?;
    let path = home.layer(&layer.id);
    if !home.has(&layer.id)? {
        return Err(Error::new(Kind::NotFound, "heal layer").at(path).detail("the layer has no place"));
    }
    if !layer.home.is_writable() {
        return Ok(());
    }
    for name in ["work", "merged"] {
        make_dir(&path.join(name), 0o700)?;
    }
    if !path.join("diff").exists() && path.join("diff1").is_dir() {
        make_dir(&path.join("diff"), 0o555)?;
    }
    heal_lower_names(homes, layer)?;
    match read_link_file(&path)? {
        Some(link) => heal_link(home, &link, &layer.id),
        None => new_name(home, &layer.id),
    }
}

/// When the layer stands on exactly its ancestors, its `lower` file knows the name that each of them had.
fn heal_lower_names(homes: &Homes<Home>, layer: &LayerRef) -> Result<()> {
    let links = read_lower_file(&homes.of(layer.home)?.layer(&layer.id))?.unwrap_or_default();
    if links.len() != layer.ancestors.len() {
        return Ok(());
    }
    for (link, ancestor) in links.iter().zip(&layer.ancestors) {
        let Ancestor { id, home: place } = ancestor;
        let home = homes.of(*place)?;
        let path = home.layer(id);
        if place.is_writable() && home.has(id)? && read_link_file(&path)?.is_none() {
            write_new(&path.join("link"), link.as_str())?;
            heal_link(home, link, id)?;
        }
    }
    Ok(())
}

/// Makes the names in `l/` of what a layer stands on again.
pub(crate) fn heal_steps(homes: &Homes<Home>, steps: &[Step]) -> Result<()> {
    let mut ours = steps.iter().filter(|step| step.layer.home.is_writable());
    ours.try_for_each(|step| heal_link(homes.of(step.layer.home)?, &step.link, &step.layer.id))
}

/// Makes sure that `l/LINK` leads to the layer.
fn heal_link(home: &Home, link: &LinkName, id: &LayerId) -> Result<()> {
    let path = home.links().join(link.as_str());
    match std::fs::read_link(&path) {
        Ok(target) if target == target_of(id) => Ok(()),
        Ok(_) if is_disowned(home, link) => {
            std::fs::remove_file(&path).os("unlink", &path)?;
            make_link(home, link, id)
        }
        Ok(target) => Err(Error::new(Kind::Corrupt, "heal short link")
            .at(path)
            .detail(format!("it belongs to layer {id} and points to {:?}", target.display()))
            .remedy("delete the link and try again")),
        Err(error) if error.kind() == ErrorKind::NotFound => make_link(home, link, id),
        Err(error) => Err(error).os("readlink", path),
    }
}

/// Whether `l/LINK` leads to no layer, or to one that has another name.
fn is_disowned(home: &Home, link: &LinkName) -> bool {
    let Ok(owner) = owner_by_link(home, link) else { return true };
    !matches!(read_link_file(&home.layer(&owner)), Ok(Some(own)) if own == *link)
}

/// Gives a layer that has no `link` file the name that `l/` still has for it, else a new one.
fn new_name(home: &Home, id: &LayerId) -> Result<()> {
    let path = home.layer(id).join("link");
    if let Some(link) = find_link(home, id)? {
        return write_new(&path, link.as_str());
    }
    let link = LinkName::random()?;
    make_link(home, &link, id)?;
    write_new(&path, link.as_str())
}

/// The name that `l/` has for a layer, found by looking at all of them.
pub(crate) fn find_link(home: &Home, id: &LayerId) -> Result<Option<LinkName>> {
    let links = home.links();
    let entries = match std::fs::read_dir(&links) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).os("read directory", &links),
    };
    for entry in entries {
        let entry = entry.os("read directory", &links)?;
        let points_here = std::fs::read_link(entry.path()).is_ok_and(|target| target == target_of(id));
        if points_here && let Ok(link) = LinkName::from_store(&entry.file_name().to_string_lossy(), &entry.path()) {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

/// Makes `l/LINK -> ../ID/diff`.
pub(crate) fn make_link(home: &Home, link: &LinkName, id: &LayerId) -> Result<()> {
    let links = home.links();
    let path = links.join(link.as_str());
    let make = || std::os::unix::fs::symlink(target_of(id), &path);
    let made = match make() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_dir(&links, 0o755)?;
            make()
        }
        made => made,
    };
    made.os("symlink", &path)
}

/// Removes the layer's name from `l/`, if it is the layer's.
pub(crate) fn remove_link(home: &Home, id: &LayerId) -> Result<()> {
    let Ok(Some(link)) = read_link_file(&home.layer(id)) else { return Ok(()) };
    if !owner_by_link(home, &link).is_ok_and(|owner| owner == *id) {
        return Ok(());
    }
    let path = home.links().join(link.as_str());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).os("unlink", &path),
        _ => Ok(()),
    }
}

/// Where the layer's name in `l/` leads.
pub(crate) fn target_of(id: &LayerId) -> PathBuf {
    Path::new("..").join(id.as_str()).join("diff")
}
