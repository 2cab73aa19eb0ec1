//! Mounts against counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Check;
use super::finding::{Finding, FindingKind};
use super::report::MountElsewhere;
use crate::error::Result;
use crate::ids::LayerId;
use crate::locks::ThreadKey;
use crate::locks::counting::{Counted, Counts};
use crate::mount::elsewhere;
use crate::store::Store;
use crate::store::layers::LayerTable;
use crate::store::mounts::MountTable;

/// A layer whose mounts and count disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Disagreement {
    pub(in crate::store) id: LayerId,
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) how: Disagree,
}

/// How mounts and count disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Disagree {
    /// Counted so often, and mounted nowhere.
    Lost(u64),
    /// Mounted in this mount namespace, and not counted; these processes see it.
    Leaked(Vec<u32>),
    /// The same in other mount namespaces only: often a copy, made with the namespace while the layer was mounted here.
    Elsewhere(Vec<u32>),
}

impl Check<'_> {
    /// Compares what is counted with what the kernel has mounted in the namespaces of all processes.
    pub(super) fn mounts(&mut self, key: &mut ThreadKey) -> Result<()> {
        let store = self.store;
        if !store.gate.has_kernel_mounts() {
            return Ok(());
        }
        let (layers, counts) = (store.layers()?, store.mounts.snapshot()?);
        let suspects = store.disagreements(&layers, &counts)?;
        if suspects.is_empty() {
            return Ok(());
        }
        // A mount is counted after it is made: so look again while nobody can mount.
        let certain = {
            let (layers, mut key) = store.layers.read(key, &store.wait)?;
            let (mounts, _key) = store.mounts.read(&mut key, &store.wait)?;
            store.disagreements(layers.table(), mounts.table())?
        };
        for one in certain {
            let finding = |kind| Finding::of_layer(kind, one.id.as_str()).at(&one.path);
            match one.how {
                Disagree::Lost(count) => {
                    self.say(finding(FindingKind::CountUnmounted).detail(format!("counted {count} times")));
                }
                Disagree::Leaked(holders) => {
                    let pids: Vec<_> = holders.iter().map(ToString::to_string).collect();
                    let seen = format!("seen by process {}", pids.join(", "));
                    self.say(finding(FindingKind::MountUncounted).detail(seen));
                }
                // Nothing in the store is wrong by it, and from here nothing mends it.
                Disagree::Elsewhere(processes) => {
                    self.report.elsewhere.push(MountElsewhere { id: one.id.to_string(), path: one.path, processes });
                }
            }
        }
        Ok(())
    }
}

impl Store {
    /// The layers whose mounts and counts disagree. That a layer is mounted nowhere is told only when every process could be
    /// asked, or the machine was started since it was counted.
    pub(in crate::store) fn disagreements(
        &self,
        layers: &LayerTable,
        counts: &MountTable,
    ) -> Result<Vec<Disagreement>> {
        let ids = layers.records().map(|layer| layer.id.as_str()).chain(counts.iter().map(|mount| mount.id.as_str()));
        let places: BTreeMap<LayerId, PathBuf> = ids
            .filter_map(|id| LayerId::from_store(id).ok())
            .map(|id| {
                let home = layers.get(id.as_str()).map_or(crate::driver::Home::Own, |layer| layer.home());
                Ok((id.clone(), self.gate.mount_point(&id, home)?))
            })
            .collect::<Result<_>>()?;
        let paths: Vec<PathBuf> = places.values().cloned().collect();
        let (seen, unreadable) = elsewhere::look_for_all(&paths);
        let mut found = Vec::new();
        for ((id, path), holders) in places.into_iter().zip(seen) {
            let count = counts.count(id.as_str());
            let certain = unreadable == 0 || counts.counted(id.as_str()) == Counted::BeforeBoot;
            let how = match (count, holders.is_empty()) {
                (1.., true) if certain => Disagree::Lost(count),
                (0, false) if elsewhere::is_here(&holders) => Disagree::Leaked(holders),
                (0, false) => Disagree::Elsewhere(holders),
                _ => continue,
            };
            found.push(Disagreement { id, path, how });
        }
        Ok(found)
    }
}
