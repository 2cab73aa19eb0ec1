//! Images and containers: their layers and their data; additional stores; and what follows from damage below.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Finding, FindingKind, Mend, Subject};
use super::layers::size_of;
use super::{AT_ONCE, Check, CheckOptions, CheckReport, Depth};
use crate::error::{Kind, OsContext, Result};
use crate::locks::ThreadKey;
use crate::store::big_data::{copy_hashed, file_name};
use crate::store::images::MANIFEST;
use crate::store::sight::{Sight, StoreNumber};
use crate::store::{Container, Image, Item, Store};
use crate::task::Task;

/// The kinds of findings about data: missing, of another size, of another digest.
type Kinds = (FindingKind, FindingKind, FindingKind);
const OF_IMAGE: Kinds = (FindingKind::ImageDataMissing, FindingKind::ImageDataSize, FindingKind::ImageDataDigest);
const OF_CONTAINER: Kinds =
    (FindingKind::ContainerDataMissing, FindingKind::ContainerDataSize, FindingKind::ContainerDataDigest);

impl Check<'_> {
    /// Looks at the images and containers of the store itself.
    pub(super) fn things(&mut self, key: &mut ThreadKey) -> Result<()> {
        let sight = self.store.consistent_sight(key)?;
        let images: Vec<String> =
            sight.images.iter().take(1).flat_map(|own| own.iter()).map(|i| i.id.clone()).collect();
        let containers: Vec<String> = sight.containers.iter().map(|container| container.id.clone()).collect();
        for ids in images.chunks(AT_ONCE) {
            self.held(key, |check, sight| {
                for image in ids.iter().filter_map(|id| sight.images.first()?.get(id)) {
                    check.image(sight, 0, image);
                }
            })?;
        }
        for ids in containers.chunks(AT_ONCE) {
            self.held(key, |check, sight| {
                for container in ids.iter().filter_map(|id| sight.containers.get(id)) {
                    check.container(sight, container);
                }
            })?;
        }
        if self.options.depth == Depth::Full {
            self.digests(&sight)?;
        }
        Ok(())
    }

    /// Runs `look` while nothing that it looks at can change.
    fn held(&mut self, key: &mut ThreadKey, look: impl FnOnce(&mut Self, &Sight)) -> Result<()> {
        let store = self.store;
        let (_layers, mut key) = store.layers.read(key, &store.wait)?;
        let (_images, mut key) = store.images.read(&mut key, &store.wait)?;
        let (_containers, _key) = store.containers.read(&mut key, &store.wait)?;
        let sight = store.sight()?;
        look(self, &sight);
        Ok(())
    }

    fn image(&mut self, sight: &Sight, number: StoreNumber, image: &Arc<Image>) {
        self.report.images += 1;
        let say = |kind| Finding::new(kind, Subject::Image, &image.id).in_store(number);
        for top in image.top_layers() {
            if top != image.layer && sight.layer_by_id(top).is_none() {
                // A copy with other owners, which is made again when it is needed.
                continue;
            }
            let mut seen = HashSet::new();
            let mut next = Some(top.to_owned());
            while let Some(id) = next.filter(|id| !id.is_empty() && seen.insert(id.clone())) {
                next = sight.layer_by_id(&id).map(|(_, layer)| layer.parent.clone());
                if next.is_none() {
                    let kind = self.store.unless_uncertain(FindingKind::ImageLayerMissing);
                    self.say(say(kind).detail(format!("layer {id} is not known")));
                }
            }
        }
        self.data(number, &Item::Image(Arc::clone(image)), Subject::Image, OF_IMAGE);
    }

    fn container(&mut self, sight: &Sight, container: &Arc<Container>) {
        self.report.containers += 1;
        let say = |kind| Finding::new(kind, Subject::Container, &container.id);
        let has_image = sight.images.iter().any(|table| table.get(&container.image).is_some());
        if !container.image.is_empty() && !has_image {
            let kind = self.store.unless_uncertain(FindingKind::ContainerImageMissing);
            self.say(say(kind).detail(format!("image {} is not known", container.image)));
        }
        if sight.layer_by_id(&container.layer).is_none() {
            self.say(say(FindingKind::ContainerLayerMissing).detail(format!("layer {}", container.layer)));
        }
        self.data(0, &Item::Container(Arc::clone(container)), Subject::Container, OF_CONTAINER);
    }

    /// Whether the data of an item is there, in its size.
    fn data(&mut self, number: StoreNumber, item: &Item, subject: Subject, kinds: Kinds) {
        let home = self.store.data_home(number, item).ok();
        for name in item.data_names() {
            let finding = |kind| Finding::new(kind, subject, item.id()).in_store(number).detail(format!("{name:?}"));
            let path = home.as_ref().zip(file_name(name).ok()).map(|(home, file)| home.join(file));
            let size = match path.as_ref().map(|path| size_of(path)).transpose() {
                Ok(size) => size.flatten(),
                Err(error) => {
                    self.say(
                        Finding::new(FindingKind::NotExamined, subject, item.id()).in_store(number).because(&error),
                    );
                    continue;
                }
            };
            let at = |finding: Finding| path.iter().fold(finding, Finding::at);
            match (size, recorded_size(item, name)) {
                (None, _) => self.say(at(finding(kinds.0))),
                (Some(size), Some(said)) if size != said => {
                    let detail = format!("{name:?} has {size} bytes, {said} by its record");
                    self.say(at(finding(kinds.1)).detail(detail));
                }
                _ => {}
            }
        }
    }

    /// Whether data has the digest that its record says. Without a lock: what differs is looked at again in fresh records.
    fn digests(&mut self, sight: &Sight) -> Result<()> {
        let images = sight.images.iter().take(1).flat_map(|own| own.iter());
        let items = images.map(|image| Item::Image(Arc::clone(image)));
        let containers = sight.containers.iter().map(|container| Item::Container(Arc::clone(container)));
        items.chain(containers).try_for_each(|item| self.digests_of(&item))
    }

    fn digests_of(&mut self, item: &Item) -> Result<()> {
        let (digests, subject, kinds) = match item {
            Item::Image(image) => (&image.big_data_digests, Subject::Image, OF_IMAGE),
            Item::Container(container) => (&container.big_data_digests, Subject::Container, OF_CONTAINER),
            Item::Layer(_) => return Ok(()),
        };
        let Ok(home) = self.store.data_home(0, item) else { return Ok(()) };
        for (name, digest) in digests.iter().filter(|(_, digest)| digest.starts_with("sha256:")) {
            let Ok(path) = file_name(name).map(|file| home.join(file)) else { continue };
            let wrong = match digest_of(&path) {
                Ok(found) => found.filter(|found| found != digest),
                Err(error) => {
                    self.say(Finding::new(FindingKind::NotExamined, subject, item.id()).at(path).because(&error));
                    continue;
                }
            };
            if let Some(found) = wrong
                && !(name.starts_with(MANIFEST) && is_signed(&path))
                && size_of(&path)
                    .ok()
                    .flatten()
                    .is_some_and(|size| recorded_size(item, name).is_none_or(|said| said == size))
                && self.still_says(item, name, digest)?
            {
                let detail = format!("{name:?} has {found}, {digest} by its record");
                self.say(Finding::new(kinds.2, subject, item.id()).at(path).detail(detail));
            }
        }
        Ok(())
    }

    fn still_says(&self, item: &Item, name: &str, digest: &str) -> Result<bool> {
        let now = if let Item::Image(image) = item {
            self.store.images.snapshot()?.get(&image.id).and_then(|now| now.big_data_digests.get(name).cloned())
        } else {
            let table = self.store.containers.snapshot()?;
            table.get(item.id()).and_then(|now| now.big_data_digests.get(name).cloned())
        };
        Ok(now.is_some_and(|now| now == digest))
    }

    /// Looks at additional stores, as far as their records and data tell.
    pub(super) fn additional(&mut self) -> Result<()> {
        let store = self.store;
        for (number, other) in (1..).zip(&store.additional) {
            let tables = other.layers().and_then(|layers| Ok((layers, other.images()?)));
            let (layers, images) = match tables {
                Ok(tables) => tables,
                Err(error) => {
                    let finding = Finding::of_store(FindingKind::AdditionalUnreadable, &other.places().graph_root);
                    self.say(finding.in_store(number).because(&error));
                    continue;
                }
            };
            let sight = match store.sight() {
                Ok(sight) => sight,
                Err(error) if error.kind() == Kind::Corrupt => return Ok(()),
                Err(error) => return Err(error),
            };
            for layer in layers.iter() {
                self.report.layers += 1;
                if let Err(error) = sight.layer_ref(number, layer) {
                    let finding = Finding::of_layer(FindingKind::ParentMissing, &layer.id).in_store(number);
                    self.say(finding.because(&error));
                }
                let item = Item::Layer(Arc::clone(layer));
                let missing = FindingKind::LayerDataMissing;
                self.data(number, &item, Subject::Layer, (missing, missing, missing));
            }
            for image in images.iter() {
                self.image(&sight, number, image);
            }
        }
        Ok(())
    }

    /// Images and containers on layers, and containers of images, that only deletion mends.
    pub(super) fn inherit(&mut self) {
        let Ok(sight) = self.store.sight() else { return };
        let mut lost: HashMap<String, Vec<String>> = HashMap::new();
        let bad = |f: &&Finding| f.subject == Subject::Layer && f.kind.mend() == Mend::Delete;
        for finding in self.report.findings.iter().filter(bad) {
            if finding.kind != FindingKind::LayerUnreferenced {
                let words = format!("layer {}: {}", finding.id, finding.kind);
                let known = lost.entry(finding.id.clone()).or_default();
                if !known.contains(&words) {
                    known.push(words);
                }
            }
        }
        let below = |top: &str| -> Vec<String> {
            let (mut words, mut seen, mut next) = (Vec::new(), HashSet::new(), Some(top.to_owned()));
            while let Some(id) = next.filter(|id| seen.insert(id.clone())) {
                words.extend(lost.get(&id).into_iter().flatten().cloned());
                next = sight.layer_by_id(&id).map(|(_, layer)| layer.parent.clone());
            }
            words
        };
        let mut found = Vec::new();
        let mut images: HashMap<String, Vec<String>> = HashMap::new();
        for (number, image) in sight.images.iter().enumerate().flat_map(|(n, table)| table.iter().map(move |i| (n, i)))
        {
            let words: Vec<String> = image.top_layers().flat_map(&below).collect();
            let finding = |words: &String| {
                Finding::new(FindingKind::Inherited, Subject::Image, &image.id).in_store(number).detail(words.clone())
            };
            found.extend(words.iter().map(finding));
            images.entry(image.id.clone()).or_default().extend(words);
        }
        let own = |f: &&Finding| f.subject == Subject::Image && f.kind.mend() == Mend::Delete;
        for finding in self.report.findings.iter().filter(own) {
            images.entry(finding.id.clone()).or_default().push(format!("image {}: {}", finding.id, finding.kind));
        }
        for container in sight.containers.iter() {
            let words: Vec<String> =
                images.get(&container.image).into_iter().flatten().cloned().chain(below(&container.layer)).collect();
            let finding = |words| Finding::new(FindingKind::Inherited, Subject::Container, &container.id).detail(words);
            found.extend(words.into_iter().map(finding));
        }
        self.report.findings.extend(found);
    }
}

impl Store {
    /// What is wrong with the data of an image or a container now.
    pub(in crate::store) fn examine_data(&self, subject: Subject, id: &str, task: &Task) -> Result<Vec<Finding>> {
        let (item, kinds) = match subject {
            Subject::Image => (self.images.snapshot()?.get(id).cloned().map(Item::Image), OF_IMAGE),
            _ => (self.containers.snapshot()?.get(id).cloned().map(Item::Container), OF_CONTAINER),
        };
        let Some(item) = item else { return Ok(Vec::new()) };
        let options = CheckOptions::default();
        let (report, stale) = (CheckReport::default(), BTreeSet::new());
        let mut check = Check { store: self, options: &options, task, report, stale };
        check.data(0, &item, subject, kinds);
        check.digests_of(&item)?;
        Ok(check.report.findings)
    }

    /// Whether what is not found may stand in an additional store: one that can't be read, or not all of it.
    pub(in crate::store) fn is_additional_uncertain(&self) -> bool {
        self.additional.iter().any(|other| {
            let layers = other.layers().is_ok_and(|layers| layers.damaged().is_empty());
            let images = other.images().is_ok_and(|images| images.damaged().is_empty());
            // A store on a filesystem that isn't mounted has no records.
            let there = other.places().layer_files().first().is_some_and(|file| file.symlink_metadata().is_ok());
            !(layers && images && there)
        })
    }

    /// How it is told that something is missing that may stand in an additional store.
    pub(super) fn unless_uncertain(&self, missing: FindingKind) -> FindingKind {
        if self.is_additional_uncertain() { FindingKind::NotExamined } else { missing }
    }
}

/// Whether a manifest is one of the old signed ones, whose digest leaves the signatures out.
fn is_signed(path: &Path) -> bool {
    let read = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    read.is_some_and(|manifest| manifest.get("signatures").is_some())
}

fn recorded_size(item: &Item, name: &str) -> Option<u64> {
    let size = match item {
        Item::Layer(_) => None,
        Item::Image(image) => image.big_data_sizes.get(name),
        Item::Container(container) => container.big_data_sizes.get(name),
    };
    size.and_then(|size| u64::try_from(*size).ok())
}

/// The digest of a file; none where there is no regular file.
fn digest_of(path: &PathBuf) -> Result<Option<String>> {
    if size_of(path)?.is_none() {
        return Ok(None);
    }
    match File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(mut file) => copy_hashed(&mut file, std::io::sink()).map(|(digest, _)| Some(digest)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).os("open", path),
    }
}
