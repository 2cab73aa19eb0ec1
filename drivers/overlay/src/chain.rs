//! Which layers a layer stands on.
//!
//! The `lower` file of a layer names what it stands on by short names. Which layer a short name means is told by the
//! `link` files of the layers that the records know as its ancestors. A layer that was made from a template stands on
//! one more that the records don't know; that one is found by `l/`, whose links are untrusted. Where `l/` agrees with the
//! records, which takes one call instead of five to see, the files are not read.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use storage_core::driver::LayerRef;
use storage_core::error::{Error, Kind, OsContext, Result};
use storage_core::ids::LayerId;
use storage_core::mount::MAX_LOWERS;

use crate::heal::target_of;
use crate::home::{Home, LinkName, read_link_file, read_lower_file};
use crate::part::Part;

/// One step down a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) link: LinkName,
    pub(crate) id: LayerId,
}

/// What `layer` stands on, the nearest first. A file that says less than the records do (a power loss may have emptied it)
/// is [`Kind::Corrupt`]: the layer would be shown without what is below it.
pub(crate) fn lowers(home: &Home, layer: &LayerRef) -> Result<Vec<Step>> {
    let path = home.layer(&layer.id);
    let Some(links) = read_lower_file(&path)? else {
        return no_lower_file(&path, layer);
    };
    if links.len() > MAX_LOWERS {
        return Err(Error::new(Kind::NotSupported, "read lower directories")
            .at(path)
            .detail(format!("max depth exceeded: {} layers below, the kernel stacks {MAX_LOWERS}", links.len())));
    }
    let mut finder = Finder { home, ancestors: &layer.ancestors, looked_at: 0, known: HashMap::new() };
    let mut steps = Vec::new();
    for (index, link) in links.into_iter().enumerate() {
        let id = match layer.ancestors.get(index).filter(|id| leads_to(home, &link, id)) {
            Some(id) => id.clone(),
            None => finder.find(&link)?,
        };
        steps.push(Step { link, id });
    }
    if steps.is_empty() || !ends_with(&steps, &layer.ancestors) {
        return Err(Error::new(Kind::Corrupt, "read lower directories")
            .at(path.join("lower"))
            .detail(format!(
                "layer {} stands on {} layers by this file, which don't end with the {} that its record names",
                layer.id,
                steps.len(),
                layer.ancestors.len()
            ))
            .remedy("delete the layer and make it again, or restore the file"));
    }
    Ok(steps)
}

/// Whether the chain ends with what the records know; a copy of a template stands on one more in front of it.
fn ends_with(steps: &[Step], ancestors: &[LayerId]) -> bool {
    let extra = steps.len().checked_sub(ancestors.len());
    extra.is_some_and(|extra| steps[extra..].iter().map(|step| &step.id).eq(ancestors))
}

fn no_lower_file(path: &Path, layer: &LayerRef) -> Result<Vec<Step>> {
    if !path.is_dir() {
        return Err(Error::new(Kind::NotFound, "read layer").at(path).detail("the layer has no place"));
    }
    if layer.ancestors.is_empty() {
        return Ok(Vec::new());
    }
    Err(Error::new(Kind::Corrupt, "read lower directories")
        .at(path.join("lower"))
        .detail(format!("layer {} has a parent by its record, but the file is missing", layer.id)))
}

/// Looks up short names. `link` files are read in the order of the chain, so each is read once.
struct Finder<'a> {
    home: &'a Home,
    ancestors: &'a [LayerId],
    looked_at: usize,
    known: HashMap<LinkName, LayerId>,
}

impl Finder<'_> {
    fn find(&mut self, link: &LinkName) -> Result<LayerId> {
        while !self.known.contains_key(link)
            && let Some(ancestor) = self.ancestors.get(self.looked_at)
        {
            self.looked_at += 1;
            if let Some(own) = read_link_file(&self.home.layer(ancestor))? {
                self.known.insert(own, ancestor.clone());
            }
        }
        match self.known.get(link) {
            Some(id) => Ok(id.clone()),
            None => owner_by_link(self.home, link),
        }
    }
}

/// Whether `l/LINK` points to the layer.
fn leads_to(home: &Home, link: &LinkName, id: &LayerId) -> bool {
    std::fs::read_link(home.links().join(link.as_str())).is_ok_and(|target| target == target_of(id))
}

/// The layer that `l/LINK` points to.
pub(crate) fn owner_by_link(home: &Home, link: &LinkName) -> Result<LayerId> {
    let path = home.links().join(link.as_str());
    let target = std::fs::read_link(&path).os("readlink", &path).map_err(|error| {
        error.detail("no layer has this short name").remedy("`lamina repair` makes lost links again")
    })?;
    let escape =
        || Error::new(Kind::Escape, "read short link").at(&path).detail(format!("it points to {:?}", target.display()));
    let id = target.to_str().and_then(|text| text.strip_prefix("../")?.strip_suffix("/diff")).ok_or_else(escape)?;
    LayerId::from_store(id).map_err(|_| escape())
}

/// The layers of several chains, each pinned once.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    known: BTreeMap<LayerId, Arc<Part>>,
}

impl Parts {
    fn part(&mut self, home: &Home, id: &LayerId) -> Result<Arc<Part>> {
        if let Some(part) = self.known.get(id) {
            return Ok(Arc::clone(part));
        }
        let part = Part::open(home, id)?;
        self.known.insert(id.clone(), Arc::clone(&part));
        Ok(part)
    }

    /// The layer and what it stands on, pinned, the topmost first.
    pub(crate) fn chain(&mut self, home: &Home, layer: &LayerRef) -> Result<Vec<Arc<Part>>> {
        let mut chain = vec![self.part(home, &layer.id)?];
        for step in lowers(home, layer)? {
            chain.push(self.part(home, &step.id)?);
        }
        Ok(chain)
    }

    /// Every layer that was pinned.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.known.values()
    }
}
