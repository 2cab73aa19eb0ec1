//! Files of records: whether they can be read, and what in them contradicts itself.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::finding::{Finding, FindingKind, Subject};
use super::{Check, Readable, unless_corrupt};
use crate::error::{Kind, Result};
use crate::locks::level::Level;
use crate::locks::{Guarded, Kernel, ThreadKey, World};
use crate::store::kept::Kept;
use crate::store::records::{NameScope, RecordTable};
use crate::store::{Container, Image, Layer};

impl Check<'_> {
    /// Looks at every file of records. Nothing else is looked at that depends on one that can't be read.
    pub(super) fn records(&mut self, key: &mut ThreadKey) -> Result<Readable> {
        let store = self.store;
        let layers = self.level::<Layer, _>(key, &store.layers, Subject::Layer)?;
        let images = self.level::<Image, _>(key, &store.images, Subject::Image)?;
        let containers = self.level::<Container, _>(key, &store.containers, Subject::Container)?;
        let mounts = match unless_corrupt(store.mounts.snapshot())? {
            Ok(_) => true,
            Err(error) => {
                let path = store.run_home().join("mountpoints.json");
                self.say(Finding::of_store(FindingKind::RecordsUnreadable, &path).because(&error));
                false
            }
        };
        Ok(Readable { layers, mounts, users: layers && images && containers })
    }

    fn level<R: Kept<Level = L>, L: Level>(
        &mut self,
        key: &mut ThreadKey,
        level: &Guarded<L, RecordTable<R>, Kernel>,
        subject: Subject,
    ) -> Result<bool>
    where
        ThreadKey: crate::locks::MayTake<L>,
    {
        let (table, findings) = {
            let (guard, _key) = match unless_corrupt(level.read(key, &self.store.wait))? {
                Ok(held) => held,
                Err(error) => {
                    self.unreadable(level.files(), &error);
                    return Ok(false);
                }
            };
            (guard.table().clone(), contradictions::<R>(level.files(), subject)?)
        };
        for damaged in table.damaged() {
            let id = damaged.id().unwrap_or_default();
            let path = level.files().nth(damaged.location as usize);
            let finding = Finding::new(FindingKind::RecordDamaged, subject, &id).detail(damaged.why.clone());
            self.say(path.map_or(finding.clone(), |path| finding.at(path)));
        }
        for record in table.incomplete() {
            self.say(Finding::new(FindingKind::LayerIncomplete, subject, record.id()));
        }
        self.report.findings.extend(findings);
        Ok(true)
    }

    fn unreadable<'p>(&mut self, files: impl Iterator<Item = &'p Path>, error: &crate::error::Error) {
        let path = error.path().map(Path::to_path_buf);
        let path = path.or_else(|| files.into_iter().next().map(Path::to_path_buf)).unwrap_or_default();
        self.say(Finding::of_store(FindingKind::RecordsUnreadable, &path).detail(error.to_string()));
    }
}

/// What a duplicate shows in.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

/// Ids and names that stand in two records, and files that are empty. The level is held.
fn contradictions<'p, R: Kept>(files: impl Iterator<Item = &'p Path>, subject: Subject) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut ids = HashSet::new();
    let mut names: HashMap<String, String> = HashMap::new();
    for path in files.filter(|path| !path.as_os_str().is_empty()) {
        let Some((bytes, _)) = Kernel::new().read(path)? else { continue };
        if bytes.is_empty() {
            // Where it may be so after a loss of power it says nothing, and what it said is lost.
            findings.push(Finding::of_store(FindingKind::RecordsUnreadable, path).detail("the file is empty"));
            continue;
        }
        if R::NAME_SCOPE == NameScope::File {
            (ids, names) = Default::default();
        }
        let raw: Option<Vec<&RawValue>> = serde_json::from_slice(&bytes)
            .map_err(|source| crate::error::Error::new(Kind::Changed, "read records").at(path).because(source))?;
        let outlines = raw.unwrap_or_default().into_iter().filter_map(|raw| serde_json::from_str(raw.get()).ok());
        for Outline { id, names: own } in outlines {
            if !ids.insert(id.clone()) {
                findings.push(Finding::new(FindingKind::DuplicateId, subject, &id).at(path));
                continue;
            }
            for name in own.unwrap_or_default() {
                if let Some(other) = names.insert(name.clone(), id.clone()).filter(|other| *other != id) {
                    let detail = format!("{name:?} is also the name of {other}");
                    findings.push(Finding::new(FindingKind::DuplicateName, subject, &id).at(path).detail(detail));
                }
            }
        }
    }
    Ok(findings)
}
