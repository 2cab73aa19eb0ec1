//! Importing the layers of an image, one upon the other, as far as they aren't there.
//!
//! Layers get the ids that the programs above the reference compute for them, so that both find each other's: a base has the
//! digits of its diff digest, any other layer those of the digest of `PARENT+DIGITS`. A layer is there when it has this id
//! and this diff digest, in this store or an additional one; else when another one on the same parent has this diff digest.
//!
//! What is missing is imported one by one, or, when the driver lets a layer learn its parent late, filled at the same time
//! and put in place in order ([`super::together`]).
//!
//! No digest is locked meanwhile: layers extract at the same time, locks by digest are taken one at a time, and two loads
//! of layers in different orders would wait for each other. Of two who make the same layer at once, the second finds it at
//! its commit, throws its own away and uses the first one's.

use std::fmt;
use std::io::Read;

use super::Store;
use super::big_data::copy_hashed;
use super::containers::ContainerTable;
use super::create::{LayerPlan, NewLayer};
use super::import::{Content, Digests, Filled};
use super::layers::Layer;
use super::lease::Lease;
use super::records::json;
use super::rubbish::Rubbish;
use super::sight::Sight;
use crate::error::{Error, Kind, Result};
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::task::Task;

/// Opens the archive of a layer, to be read from its beginning.
pub type Opener<'a> = dyn Fn() -> Result<Box<dyn Read + Send>> + Sync + 'a;

/// A layer of a chain that is to be imported.
pub struct ChainLayer<'a> {
    /// The digest of its archive as it is read.
    pub digest: &'a str,
    /// The digest of its archive without compression.
    pub diff_digest: &'a str,
    /// Opens its archive; asked only when the layer isn't there.
    pub open: &'a Opener<'a>,
}

impl fmt::Debug for ChainLayer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainLayer")
            .field("digest", &self.digest)
            .field("diff_digest", &self.diff_digest)
            .finish_non_exhaustive()
    }
}

/// Where a layer of a chain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// It was imported.
    Made,
}

/// A layer of a chain that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chained {
    /// Its id.
    pub id: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl Store {
    /// Makes sure that `layers`, from the bottom up, are there, and keeps all of them under `lease`. Imports what is missing.
    ///
    /// As [`Store::import_layer`]. Besides fails with [`Kind::BadArchive`] when an archive hasn't its digests. Layers made
    /// before a failure stay until the lease ends: [`Lease::give_up`] takes them back.
    pub fn import_chain(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        layers: &[ChainLayer<'_>],
        task: &Task,
    ) -> Result<Vec<Chained>> {
        let _purpose = crate::record::purpose("import chain");
        let mut chain: Vec<Chained> = Vec::new();
        if self.gate.parents_may_come_late() {
            chain = self.find_first(key, lease, layers)?;
            let (missing, parent) = (&layers[chain.len()..], chain.last().map(|parent| parent.id.clone()));
            if missing.len() > 1 {
                chain.extend(self.import_together(key, lease, parent.as_deref(), missing, task)?);
            }
        }
        for layer in &layers[chain.len()..] {
            let parent = chain.last().map(|parent| parent.id.clone());
            let next = self.find_or_import(key, lease, parent.as_deref(), layer, task);
            chain.push(next.map_err(|error| error.detail(format!("in the layer {}", layer.diff_digest)))?);
        }
        Ok(chain)
    }

    /// As many of the layers from the bottom up as are there.
    fn find_first(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        layers: &[ChainLayer<'_>],
    ) -> Result<Vec<Chained>> {
        let mut chain: Vec<Chained> = Vec::new();
        for layer in layers {
            let parent = chain.last().map(|parent| parent.id.clone());
            match self.find_in_chain(key, lease, parent.as_deref(), layer.diff_digest)? {
                Some(found) => chain.push(found),
                None => break,
            }
        }
        Ok(chain)
    }

    fn find_or_import(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        parent: Option<&str>,
        layer: &ChainLayer<'_>,
        task: &Task,
    ) -> Result<Chained> {
        if let Some(found) = self.find_in_chain(key, lease, parent, layer.diff_digest)? {
            return Ok(found);
        }
        match self.import_one(key, lease, parent, layer, task) {
            // Somebody made it meanwhile; if not, others' parts are in the way.
            Err(error) if error.kind() == Kind::DuplicateId => {
                self.find_in_chain(key, lease, parent, layer.diff_digest)?.ok_or(error)
            }
            other => other,
        }
    }

    fn import_one(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        parent: Option<&str>,
        layer: &ChainLayer<'_>,
        task: &Task,
    ) -> Result<Chained> {
        let new = new_layer(parent, layer)?;
        let mut plan = self.plan_leased(lease, &new)?;
        let digests = Digests { blob: layer.digest, diff: layer.diff_digest };
        let mut filled = self.begin_and_fill(key, &mut plan, Content::Known((layer.open)()?, digests), task)?;
        self.commit_one(key, &plan, &mut filled)
    }

    pub(super) fn plan_leased<'n>(&self, lease: &mut Lease<'_>, new: &'n NewLayer) -> Result<LayerPlan<'n>> {
        let mut plan = self.plan_layer(new)?;
        let created = json::now();
        lease.making(plan.id.as_str(), &created)?;
        plan.created = Some(created);
        Ok(plan)
    }

    pub(super) fn commit_one(&self, key: &mut ThreadKey, plan: &LayerPlan<'_>, filled: &mut Filled) -> Result<Chained> {
        let mut rubbish = Rubbish::of(self);
        let (mut guard, _key) = self.write_layers(key, &mut rubbish)?;
        let made = self.commit_planned(&mut guard, plan, filled, &mut rubbish)?;
        self.said_and_done()?;
        Ok(Chained { id: made.id, origin: Origin::Made })
    }

    /// The layer with this content on `parent`, which is kept from now on; none when there is none.
    pub(super) fn find_in_chain(
        &self,
        key: &mut ThreadKey,
        lease: &mut Lease<'_>,
        parent: Option<&str>,
        diff_digest: &str,
    ) -> Result<Option<Chained>> {
        let sight = self.layer_sight()?;
        // Whose layer is a container's can't be told while the containers can't be read.
        let containers = self.containers.snapshot().ok();
        let Some(id) = find(&sight, containers.as_deref(), parent, diff_digest)? else { return Ok(None) };
        match lease.keep(key, &id) {
            Ok(id) => Ok(Some(Chained { id, origin: Origin::Found })),
            // It was deleted meanwhile.
            Err(error) if error.kind() == Kind::LayerUnknown => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The layer that is to be made.
pub(super) fn new_layer(parent: Option<&str>, layer: &ChainLayer<'_>) -> Result<NewLayer> {
    Ok(NewLayer {
        id: Some(LayerId::for_new(&chain_id(parent, layer.diff_digest)?)?),
        parent: parent.map(str::to_owned),
        read_only: true,
        ..NewLayer::default()
    })
}

/// The id of a layer with this content on `parent`.
fn chain_id(parent: Option<&str>, diff_digest: &str) -> Result<String> {
    let digits = |digest: &str| {
        let digits = digest.strip_prefix("sha256:").map(str::to_owned);
        digits
            .ok_or_else(|| Error::new(Kind::Usage, "name layer").detail(format!("{digest:?} is no digest by SHA-256")))
    };
    let own = digits(diff_digest)?;
    match parent {
        None => Ok(own),
        Some(parent) => digits(&copy_hashed(&mut format!("{parent}+{own}").as_bytes(), std::io::sink())?.0),
    }
}

fn find(
    sight: &Sight,
    containers: Option<&ContainerTable>,
    parent: Option<&str>,
    diff_digest: &str,
) -> Result<Option<String>> {
    let parent_id = parent.unwrap_or_default();
    let id = chain_id(parent, diff_digest)?;
    let fits = |layer: &Layer| {
        let own = layer.uid_map.is_empty() && layer.gid_map.is_empty();
        own && layer.parent == parent_id && layer.diff_digest == diff_digest
    };
    match sight.layer_by_id(&id) {
        Some((_, layer)) if fits(layer) => return Ok(Some(id)),
        Some((_, layer)) => {
            return Err(Error::new(Kind::DuplicateId, "find layer")
                .detail(format!("there is a layer {id} with other content ({:?})", layer.diff_digest))
                .remedy("delete the image that it belongs to, then load again"));
        }
        None => {}
    }
    let Some(containers) = containers else { return Ok(None) };
    let is_container = |layer: &Layer| containers.iter().any(|container| container.layer == layer.id);
    let mut all = sight.layers.iter().flat_map(|table| table.iter());
    Ok(all.find(|layer| fits(layer) && !is_container(layer)).map(|layer| layer.id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_podman_gave() {
        let digests = [
            "sha256:de87e520cf5ce0f7c9a557cd3b4ab4a224fddb728ae2afb3804c7927f4fb0d92",
            "sha256:1475733ba13bd5e3fe3a1d75b206c82f5f6a015d649d9aa3d3c1d991721bf338",
            "sha256:f085c410fb7b104758f2fc816846f6de38ac0b726b6868b171a285f53b2c8b23",
        ];
        let mut ids: Vec<String> = Vec::new();
        for digest in digests {
            ids.push(chain_id(ids.last().map(String::as_str), digest).expect("id"));
        }
        assert_eq!(
            ids,
            [
                "de87e520cf5ce0f7c9a557cd3b4ab4a224fddb728ae2afb3804c7927f4fb0d92",
                "0b209c0f74265308cd4cb07f084b87506c41c0e6a27c8530877c15ad938ccd33",
                "11d0dcce9b90f6c9f52d876e442d08e9e67a633e745595a6c419c23ab1519e92",
            ]
        );
    }
}
