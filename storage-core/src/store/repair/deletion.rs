//! What can't be mended is deleted, from the top down: containers, images, layers.

use std::collections::BTreeSet;

use super::{DamagedContainers, Repair};
use crate::error::{Error, Kind, Result};
use crate::locks::ThreadKey;
use crate::store::check::{Finding, FindingKind, Subject};
use crate::store::sight::Sight;
use crate::store::{Deletion, Store};
use crate::task::Task;

/// What shows only in files that are read.
const READ: &[FindingKind] = &[
    FindingKind::LayerDigest,
    FindingKind::LayerSize,
    FindingKind::LayerModified,
    FindingKind::ImageDataMissing,
    FindingKind::ImageDataSize,
    FindingKind::ImageDataDigest,
    FindingKind::ContainerDataMissing,
    FindingKind::ContainerDataSize,
    FindingKind::ContainerDataDigest,
];

impl Repair<'_> {
    /// Deletes what `findings` tell that only deletion mends, and what can't be without it.
    pub(super) fn delete(&mut self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<()> {
        let findings = &self.still_true(key, findings)?;
        let of = |subject| -> BTreeSet<String> {
            // What is damaged below goes with what is below.
            findings
                .iter()
                .filter(|finding| finding.kind != FindingKind::Inherited)
                .filter(|finding| finding.subject == subject)
                .map(|finding| finding.id.clone())
                .collect()
        };
        let unused = |finding: &&&Finding| finding.kind == FindingKind::LayerUnreferenced;
        let idle: BTreeSet<String> = findings.iter().filter(unused).map(|finding| finding.id.clone()).collect();
        let broken =
            findings.iter().filter(|f| f.subject == Subject::Layer && f.kind != FindingKind::LayerUnreferenced);
        self.doomed.extend(broken.map(|finding| finding.id.clone()));
        let layers = self.store.with_those_above(&self.doomed)?;
        let (images, containers) = self.users_of(&layers, of(Subject::Image), of(Subject::Container))?;
        if self.containers == DamagedContainers::Deleted {
            for id in containers {
                let done = self.store.delete_container(key, &id, self.task);
                self.done(Subject::Container, id, done)?;
            }
        } else {
            for id in containers {
                let error = Error::new(Kind::LayerUsedByContainer, "repair container")
                    .detail(format!("container {id} is damaged, or stands on what is, and was kept"))
                    .remedy("use `repair --force` to delete it");
                self.note(Err(error))?;
            }
        }
        for id in images {
            let done = self.store.delete_image(key, &id, Deletion::Real, self.task).map(drop);
            self.done(Subject::Image, id, done)?;
        }
        if !layers.is_empty() {
            for (id, done) in self.store.delete_damaged(key, &layers, self.task)? {
                self.done(Subject::Layer, id, done)?;
            }
        }
        self.delete_idle(key, &idle)
    }

    /// Those of `findings` that hold still: what was made again may have mended them.
    fn still_true<'f>(&self, key: &mut ThreadKey, findings: &[&'f Finding]) -> Result<Vec<&'f Finding>> {
        let store = self.store;
        let read_again = self.read_again(key, findings)?;
        let uncertain = store.is_additional_uncertain();
        let (guard, _key) = store.layers.read(key, &store.wait)?;
        let shared = guard.shared();
        let driver = store.gate.shared(&shared)?;
        let seen_at_once = [
            FindingKind::ParentMissing,
            FindingKind::PlaceMissing,
            FindingKind::LayerBroken,
            FindingKind::LayerDataMissing,
        ];
        let mut true_still = Vec::new();
        for &finding in findings {
            let holds = if seen_at_once.contains(&finding.kind) {
                let layer = guard.table().get(&finding.id);
                let now = layer.map(|layer| store.look_at_layer(guard.table(), &driver, layer)).transpose()?;
                now.is_some_and(|now| now.iter().any(|now| now.kind == finding.kind))
            } else if READ.contains(&finding.kind) {
                // Each file that was altered is told: one of them is enough.
                read_again.iter().any(|now| (now.kind, &now.id) == (finding.kind, &finding.id))
            } else if finding.kind == FindingKind::ContainerImageMissing {
                let sight = store.sight()?;
                let image = sight.containers.get(&finding.id).map(|container| container.image.clone());
                let known = |image: &String| sight.images.iter().any(|table| table.get(image).is_some());
                !uncertain && image.is_some_and(|image| !known(&image))
            } else if finding.kind == FindingKind::ImageLayerMissing {
                let sight = store.sight()?;
                let image = sight.images.first().and_then(|own| own.get(&finding.id));
                !uncertain && image.is_some_and(|image| image.top_layers().any(|top| !is_whole(&sight, top)))
            } else {
                true
            };
            if holds {
                true_still.push(finding);
            }
        }
        Ok(true_still)
    }

    /// What is still wrong with content and data that `findings` tell of: they are read once more, without a lock.
    fn read_again(&self, key: &mut ThreadKey, findings: &[&Finding]) -> Result<Vec<Finding>> {
        let read = findings.iter().filter(|finding| READ.contains(&finding.kind));
        let subjects: BTreeSet<(Subject, &str)> = read.map(|finding| (finding.subject, finding.id.as_str())).collect();
        let mut found = Vec::new();
        for (subject, id) in subjects {
            if subject == Subject::Layer {
                found.extend(self.store.examine_content(key, id, self.task)?.unwrap_or_default());
            } else {
                found.extend(self.store.examine_data(subject, id, self.task)?);
            }
        }
        Ok(found)
    }

    /// The images and containers on `layers`, besides those that are damaged themselves.
    fn users_of(
        &self,
        layers: &BTreeSet<String>,
        mut images: BTreeSet<String>,
        mut containers: BTreeSet<String>,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let store = self.store;
        let on = |top: &str| layers.contains(top);
        let tops = store.images.snapshot()?;
        images.extend(tops.iter().filter(|image| image.top_layers().any(on)).map(|image| image.id.clone()));
        for container in store.all_containers()? {
            if on(&container.layer) || images.contains(&container.image) {
                containers.insert(container.id.clone());
            }
        }
        Ok((images, containers))
    }

    /// Deletes layers that nobody uses, children first; one that somebody began to use meanwhile stays.
    fn delete_idle(&mut self, key: &mut ThreadKey, idle: &BTreeSet<String>) -> Result<()> {
        let mut left: Vec<String> = self.store.layers()?.iter().map(|layer| layer.id.clone()).collect();
        left.retain(|id| idle.contains(id));
        left.reverse();
        for _ in 0..=left.len() {
            let mut refused = Vec::new();
            for id in std::mem::take(&mut left) {
                match self.store.delete_layer(key, &id, self.task) {
                    Err(error) if error.kind() == Kind::LayerHasChildren => refused.push(id),
                    done => self.done(Subject::Layer, id, done)?,
                }
            }
            left = refused;
        }
        Ok(())
    }

    /// Notes a deletion. What is gone already is deleted.
    fn done(&mut self, subject: Subject, id: String, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if matches!(error.kind(), Kind::LayerUnknown | Kind::ImageUnknown | Kind::ContainerUnknown) => {
                Ok(())
            }
            Ok(()) => {
                self.report.deleted.push((subject, id));
                Ok(())
            }
            failed => self.note(failed),
        }
    }
}

/// Whether `top` and all that it stands on is known.
fn is_whole(sight: &Sight, top: &str) -> bool {
    sight.layer_by_id(top).is_some_and(|(number, layer)| sight.layer_ref(number, layer).is_ok())
}

impl Store {
    /// `layers`, and every layer that stands on one of them.
    fn with_those_above(&self, layers: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        let table = self.layers()?;
        let mut all: BTreeSet<String> = layers.iter().filter(|id| table.get(id).is_some()).cloned().collect();
        loop {
            let more: Vec<String> = table
                .iter()
                .filter(|layer| all.contains(&layer.parent) && !all.contains(&layer.id))
                .map(|layer| layer.id.clone())
                .collect();
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// Deletes `layers` at once, whatever their records say of each other. One that an image or a container uses, or that is
    /// leased, stays, with those that it stands on.
    fn delete_damaged(
        &self,
        key: &mut ThreadKey,
        layers: &BTreeSet<String>,
        task: &Task,
    ) -> Result<Vec<(String, Result<()>)>> {
        let mut rubbish = crate::store::rubbish::Rubbish::of(self).watched_by(task);
        let (_graph, mut key) = self.graph.read(key, &self.wait)?;
        let (mut guard, mut key) = self.write_layers(&mut key, &mut rubbish)?;
        let leased = self.leased_layers()?;
        let mut results: Vec<(String, Result<()>)> = Vec::new();
        let mut going = Vec::new();
        let mut kept: BTreeSet<String> = BTreeSet::new();
        for layer in layers.iter().filter_map(|id| guard.table().get(id)) {
            let busy = || Error::new(Kind::Busy, "delete layer").detail(format!("layer {} is leased", layer.id));
            let free = if leased.contains(&layer.id) { Err(busy()) } else { self.check_unused(layer) };
            match free {
                Ok(()) => going.push(layer.clone()),
                Err(error) => {
                    kept.insert(layer.id.clone());
                    results.push((layer.id.clone(), Err(error)));
                }
            }
        }
        // What stays needs what it stands on.
        loop {
            let needed = |id: &str| {
                guard.table().children(id).any(|child| kept.contains(&child.id) || !layers.contains(&child.id))
            };
            let Some(at) = going.iter().position(|layer| needed(&layer.id)) else { break };
            let layer = going.remove(at);
            kept.insert(layer.id.clone());
            let error = Error::new(Kind::LayerHasChildren, "delete layer")
                .detail(format!("layer {} is below one that is in use", layer.id));
            results.push((layer.id.clone(), Err(error)));
        }
        let (named, nameless): (Vec<_>, Vec<_>) = going.into_iter().partition(|layer| layer.layer_id().is_ok());
        if !nameless.is_empty() {
            // An id that can't be a file name has no parts.
            let mut edit = crate::store::records::Edit::of(guard.table());
            for layer in &nameless {
                edit.remove(&layer.id);
            }
            self.save_edit(&mut guard, edit)?;
        }
        if !named.is_empty() {
            self.delete_known(&mut guard, &mut key, &named, &mut rubbish)?;
        }
        results.extend(named.into_iter().chain(nameless).map(|layer| (layer.id.clone(), Ok(()))));
        Ok(results)
    }
}
