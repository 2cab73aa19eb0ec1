//! What of a layer's place is not as it should be, and what in the home belongs to no layer.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use storage_core::driver::{Ancestor, Cure, Flaw, Homes, LayerRef};
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::ids::LayerId;

use crate::chain::{lowers, owner_by_link};
use crate::heal::target_of;
use crate::home::{Home, LinkName, is_dir, read_link_file, read_lower_file};

/// What is wrong with the place of `layer`. Fails where something can't be read: that doesn't say that it is lost.
pub(crate) fn layer(homes: &Homes<Home>, layer: &LayerRef) -> Result<Vec<Flaw>> {
    let home = homes.of(layer.home)?;
    let path = home.layer(&layer.id);
    let mut flaws = Vec::new();
    let mut say = |path: PathBuf, cure, detail: String| flaws.push(Flaw { path, detail, cure });
    if !is_dir(&path.join("diff"))? {
        let cure = if is_dir(&path.join("diff1"))? { Cure::Heal } else { Cure::Loss };
        say(path.join("diff"), cure, "the directory of the layer's files is missing".to_owned());
    }
    // `merged` comes and goes with mounts: some versions of the reference remove it.
    if !is_dir(&path.join("work"))? {
        say(path.join("work"), Cure::Heal, "the directory is missing".to_owned());
    }
    match read_link_file(&path) {
        Err(error) if tells_loss(&error) => say(path.join("link"), Cure::Loss, error.to_string()),
        Err(error) => return Err(error),
        Ok(None) => say(path.join("link"), Cure::Heal, "the layer's short name is lost".to_owned()),
        Ok(Some(link)) => {
            let link = home.links().join(link.as_str());
            match std::fs::read_link(&link) {
                Ok(target) if target == target_of(&layer.id) => {}
                Ok(target) => say(link, Cure::Heal, format!("it points to {:?}", target.display())),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                    say(link, Cure::Heal, "the short link is missing".to_owned());
                }
                Err(error) => return Err(error).os("readlink", link),
            }
        }
    }
    match lowers(homes, layer) {
        Ok(_) => {}
        Err(error) if tells_loss(&error) => {
            say(path.join("lower"), cure_of_chain(homes, layer)?, error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(flaws)
}

/// Whether an error says what a file is, not that it can't be read.
fn tells_loss(error: &Error) -> bool {
    matches!(error.kind(), Kind::Corrupt | Kind::Escape | Kind::NotFound)
}

/// A `lower` file that has a name for each ancestor tells the names that these have lost.
fn cure_of_chain(homes: &Homes<Home>, layer: &LayerRef) -> Result<Cure> {
    let links = match read_lower_file(&homes.of(layer.home)?.layer(&layer.id)) {
        Ok(Some(links)) => links,
        Err(error) if !tells_loss(&error) => return Err(error),
        _ => return Ok(Cure::Loss),
    };
    let agrees = |(link, ancestor): (&LinkName, &Ancestor)| {
        let place = homes.of(ancestor.home).map(|home| home.layer(&ancestor.id)).unwrap_or_default();
        place.is_dir() && read_link_file(&place).is_ok_and(|own| own.is_none_or(|own| own == *link))
    };
    let whole = links.len() == layer.ancestors.len() && links.iter().zip(&layer.ancestors).all(agrees);
    Ok(if whole { Cure::Heal } else { Cure::Loss })
}

/// Short links of layers that have no place.
pub(crate) fn strays(home: &Home) -> Result<Vec<PathBuf>> {
    let links = home.links();
    let entries = match std::fs::read_dir(&links) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).os("read directory", &links),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.os("read directory", &links)?.path();
        if is_stray(home, &path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_stray(home: &Home, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(link) = LinkName::from_store(&name, path) else { return false };
    owner_by_link(home, &link).is_ok_and(|owner| home.layer(&owner).symlink_metadata().is_err())
}

/// Removes them.
pub(crate) fn remove_strays(home: &Home) -> Result<u64> {
    let mut removed = 0;
    for path in strays(home)? {
        std::fs::remove_file(&path).os("unlink", &path)?;
        removed += 1;
    }
    Ok(removed)
}

/// The layer that `id` stands on by its own files.
pub(crate) fn parent(home: &Home, id: &LayerId) -> Result<Option<LayerId>> {
    let links = read_lower_file(&home.layer(id))?.unwrap_or_default();
    links.first().map(|link| owner_by_link(home, link)).transpose()
}
