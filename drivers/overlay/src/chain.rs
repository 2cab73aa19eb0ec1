//! Which layers a layer stands on.
//!
//! The `lower` file of a layer names what it stands on by short names. Which layer a short name means is told by the
//! `link` files of the layers that the records know as its ancestors. A layer that was made from a template stands on
//! one more that the records don't know; that one is found by `l/`, whose links are untrusted. Where `l/` agrees with the
//! records, which takes one call instead of five to see, the files are not read.
//!
//! A short name belongs to the home of the layer that it means, whichever home the `lower` file stands in.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use storage_core::driver::{self, Ancestor, Homes, LayerRef};
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
    pub(crate) layer: Ancestor,
}

/// What `layer` stands on, the nearest first. A file that says less than the records do (a power loss may have emptied it)
/// is [`Kind::Corrupt`]: the layer would be shown without what is below it.
pub(crate) fn lowers(homes: &Homes<Home>, layer: &LayerRef) -> Result<Vec<Step>> {
    let path = homes.of(layer.home)?.layer(&layer.id);
    let Some(links) = read_lower_file(&path)? else {
        return no_lower_file(&path, layer);
    };
    if links.len() > MAX_LOWERS {
        return Err(Error::new(Kind::NotSupported, "read lower directories")
            .at(path)
            .detail(format!("max depth exceeded: {} layers below, the kernel stacks {MAX_LOWERS}", links.len())));
    }
    let mut finder = Finder { homes, ancestors: &layer.ancestors, looked_at: 0, known: HashMap::new() };
    let mut steps = Vec::new();
    for (index, link) in links.into_iter().enumerate() {
        let layer = match layer.ancestors.get(index).filter(|ancestor| leads_to(homes, &link, ancestor)) {
            Some(ancestor) => ancestor.clone(),
            None => finder.find(&link)?,
        };
        steps.push(Step { link, layer });
    }
    if steps.is_empty() || !has_all(&steps, &layer.ancestors) {
        return Err(Error::new(Kind::Corrupt, "read lower directories")
            .at(path.join("lower"))
            .detail(format!(
                "layer {} stands on {} layers by this file, among which are not all {} that its record names",
                layer.id,
                steps.len(),
                layer.ancestors.len()
            ))
            .remedy("delete the layer and make it again, or restore the file"));
    }
    Ok(steps)
}

/// Whether the chain has all that the records know, in order, and besides nothing but templates. A copy of a template stands
/// on that, which its record doesn't say; so does whatever stands on the copy.
fn has_all(steps: &[Step], ancestors: &[Ancestor]) -> bool {
    let (mut left, mut templates) = (ancestors.iter().peekable(), Vec::new());
    for step in steps {
        if left.next_if_eq(&&step.layer).is_some() {
            continue;
        }
        if ancestors.contains(&step.layer) || templates.contains(&&step.layer) {
            return false;
        }
        templates.push(&step.layer);
    }
    left.peek().is_none()
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
    homes: &'a Homes<Home>,
    ancestors: &'a [Ancestor],
    looked_at: usize,
    known: HashMap<LinkName, Ancestor>,
}

impl Finder<'_> {
    fn find(&mut self, link: &LinkName) -> Result<Ancestor> {
        while !self.known.contains_key(link)
            && let Some(ancestor) = self.ancestors.get(self.looked_at)
        {
            self.looked_at += 1;
            if let Some(own) = read_link_file(&self.homes.of(ancestor.home)?.layer(&ancestor.id))? {
                // What stands nearer was made later, by one who knew of the other.
                self.known.entry(own).or_insert_with(|| ancestor.clone());
            }
        }
        match self.known.get(link) {
            Some(ancestor) => Ok(ancestor.clone()),
            None => self.owner(link),
        }
    }

    /// The layer that a link means in the first home that has one.
    fn owner(&self, link: &LinkName) -> Result<Ancestor> {
        for (place, home) in self.homes.all() {
            match owner_by_link(home, link) {
                Err(error) if error.kind() == Kind::NotFound => {}
                found => return found.map(|id| Ancestor { id, home: place }),
            }
        }
        owner_by_link(self.homes.own(), link).map(|id| Ancestor { id, home: driver::Home::Own })
    }
}

/// Whether `l/LINK` points to the layer.
fn leads_to(homes: &Homes<Home>, link: &LinkName, layer: &Ancestor) -> bool {
    let Ok(home) = homes.of(layer.home) else { return false };
    std::fs::read_link(home.links().join(link.as_str())).is_ok_and(|target| target == target_of(&layer.id))
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
    known: BTreeMap<Ancestor, Arc<Part>>,
}

impl Parts {
    fn part(&mut self, homes: &Homes<Home>, layer: &Ancestor) -> Result<Arc<Part>> {
        if let Some(part) = self.known.get(layer) {
            return Ok(Arc::clone(part));
        }
        let part = Part::open(homes, &layer.id, layer.home)?;
        self.known.insert(layer.clone(), Arc::clone(&part));
        Ok(part)
    }

    /// The layer and what it stands on, pinned, the topmost first.
    pub(crate) fn chain(&mut self, homes: &Homes<Home>, layer: &LayerRef) -> Result<Vec<Arc<Part>>> {
        let top = Ancestor { id: layer.id.clone(), home: layer.home };
        let mut chain = vec![self.part(homes, &top)?];
        for step in lowers(homes, layer)? {
            chain.push(self.part(homes, &step.layer)?);
        }
        Ok(chain)
    }

    /// Every layer that was pinned.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.known.values()
    }
}
