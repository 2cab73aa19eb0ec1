//! What can be wrong in a store: each kind with its name, its words, and what mends it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::store::sight::StoreNumber;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A layer.
    Layer,
    /// An image.
    Image,
    /// A container.
    Container,
    /// The store itself: its files, and what lies in it that belongs to nobody.
    Store,
}

/// What mends a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// `repair` puts it right in place; nothing is deleted.
    Repair,
    /// `repair` deletes the damaged thing, and what can't be without it.
    Delete,
    /// `gc` reclaims it.
    Collect,
    /// Nothing here: it stands in an additional store, or is in use.
    ByHand,
}

macro_rules! findings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $words:literal, $mend:ident;)*) => {
        /// The kinds of findings. Names never change; new ones are added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FindingKind {
            $($(#[$doc])* $variant,)*
        }

        impl FindingKind {
            /// All kinds.
            pub const ALL: &'static [FindingKind] = &[$(FindingKind::$variant,)*];

            /// The stable name, as JSON shows it.
            pub const fn name(self) -> &'static str {
                match self { $(FindingKind::$variant => $name,)* }
            }

            /// What is wrong: the reference's words where it has them.
            pub const fn words(self) -> &'static str {
                match self { $(FindingKind::$variant => $words,)* }
            }

            /// What mends it in this store.
            pub const fn mend(self) -> Mend {
                match self { $(FindingKind::$variant => Mend::$mend,)* }
            }
        }
    };
}

findings! {
    /// A file of records can't be read as one.
    RecordsUnreadable = "records-unreadable", "error loading storage metadata", Repair;
    /// One record can't be understood.
    RecordDamaged = "record-damaged", "record is not understood", Repair;
    /// Two records have one id.
    DuplicateId = "duplicate-id", "that ID is already in use", Repair;
    /// Two records have one name.
    DuplicateName = "duplicate-name", "that name is already in use", Repair;
    /// A layer was left half-made or half-deleted.
    LayerIncomplete = "layer-incomplete", "layer was left half-made or half-deleted", Collect;
    /// A layer's parent is unknown, or its own descendant.
    ParentMissing = "parent-missing", "layer is missing", Delete;
    /// A layer has a record and no tree.
    PlaceMissing = "place-missing", "layer has a record and no files", Delete;
    /// A layer's links or directories are not as they should be, and can be made again.
    LayerLinks = "layer-links", "layer links are damaged", Repair;
    /// A part of a layer is lost that nothing tells again.
    LayerBroken = "layer-broken", "layer parts are lost", Delete;
    /// The file that gives the layer's archive back is missing or empty.
    TarSplitMissing = "tar-split-missing", "layer archive data is missing", Repair;
    /// Big data of a layer is missing.
    LayerDataMissing = "layer-data-missing", "layer data item is missing", Delete;
    /// The layer's archive has another digest than its record says.
    LayerDigest = "layer-digest", "layer content incorrect digest", Delete;
    /// The layer's archive has another size than its record says.
    LayerSize = "layer-size", "layer content incorrect size", Delete;
    /// Files of the layer are missing, altered, or more than there were.
    LayerModified = "layer-modified", "layer content modified", Delete;
    /// Nobody uses the layer, and it isn't new.
    LayerUnreferenced = "layer-unreferenced", "layer not referenced by any images or containers", Delete;
    /// An image names a layer that is unknown.
    ImageLayerMissing = "image-layer-missing", "image layer is missing", Delete;
    /// Big data of an image is missing.
    ImageDataMissing = "image-data-missing", "image data item is missing", Delete;
    /// Big data of an image has another size than its record says.
    ImageDataSize = "image-data-size", "image data item has incorrect size", Delete;
    /// Big data of an image has another digest than its record says.
    ImageDataDigest = "image-data-digest", "image data item has incorrect digest", Delete;
    /// A container names an image that is unknown.
    ContainerImageMissing = "container-image-missing", "image missing", Delete;
    /// A container names a layer that is unknown.
    ContainerLayerMissing = "container-layer-missing", "container layer is missing", Delete;
    /// Big data of a container is missing.
    ContainerDataMissing = "container-data-missing", "container data item is missing", Delete;
    /// Big data of a container has another size than its record says.
    ContainerDataSize = "container-data-size", "container data item has incorrect size", Delete;
    /// Big data of a container has another digest than its record says.
    ContainerDataDigest = "container-data-digest", "container data item has incorrect digest", Delete;
    /// An image or a container stands on a layer that can't be mended.
    Inherited = "inherited", "damaged below", Delete;
    /// The driver has a layer that no record knows.
    LayerUnaccounted = "layer-unaccounted", "layer in lower level storage driver not accounted for", Collect;
    /// A tar-split file or a directory of big data belongs to no layer.
    OrphanParts = "orphan-parts", "parts of a layer that is not known", Collect;
    /// A directory belongs to no image or container.
    OrphanDirectory = "orphan-directory", "directory of an image or container that is not known", Collect;
    /// A short link belongs to no layer.
    StaleLink = "stale-link", "link of a layer that is not known", Collect;
    /// A place of staging or trash was left by a process that died.
    StaleTemporary = "stale-temporary", "temporary directory that nobody holds", Collect;
    /// A half-written file of records was left by a process that died.
    LeftFile = "left-file", "temporary file that nobody writes", Collect;
    /// A process died in the middle of a change.
    LeftIntent = "left-intent", "change that nobody finished", Collect;
    /// A layer is mounted and nobody counts it.
    MountUncounted = "mount-uncounted", "mount that nobody counts", Collect;
    /// A layer is counted as mounted and is mounted nowhere.
    CountUnmounted = "count-unmounted", "counted as mounted and mounted nowhere", Collect;
    /// An additional store can't be read.
    AdditionalUnreadable = "additional-unreadable", "additional store can not be read", ByHand;
    /// Something could not be looked at.
    NotExamined = "not-examined", "could not be examined", ByHand;
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// With what.
    pub subject: Subject,
    /// In which store it stands: 0 is the store itself.
    pub store: StoreNumber,
    /// The identifier of the subject, where it has one.
    pub id: String,
    /// Where to look.
    pub path: Option<PathBuf>,
    /// What was found, in words.
    pub detail: String,
}

impl Finding {
    pub(super) fn new(kind: FindingKind, subject: Subject, id: &str) -> Self {
        Finding { kind, subject, store: 0, id: id.to_owned(), path: None, detail: String::new() }
    }

    pub(super) fn of_layer(kind: FindingKind, id: &str) -> Self {
        Finding::new(kind, Subject::Layer, id)
    }

    pub(super) fn of_store(kind: FindingKind, path: &Path) -> Self {
        Finding::new(kind, Subject::Store, "").at(path)
    }

    pub(super) fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) fn because(self, error: &Error) -> Self {
        let finding = self.detail(error.to_string());
        match error.path() {
            Some(path) if finding.path.is_none() => finding.at(path),
            _ => finding,
        }
    }

    pub(super) fn in_store(mut self, store: StoreNumber) -> Self {
        self.store = store;
        self
    }

    /// What mends it here.
    pub fn mend(&self) -> Mend {
        if self.store > 0 { Mend::ByHand } else { self.kind.mend() }
    }
}

/// The words, then where and what.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.words())?;
        // An error that is the detail names its path itself.
        if let Some(path) = self.path.as_ref().filter(|path| !self.detail.contains(&*path.to_string_lossy())) {
            write!(f, ": {}", path.display())?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("subject", &self.subject)?;
        map.serialize_entry("store", &self.store)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("path", &self.path.as_ref().map(|path| path.to_string_lossy()))?;
        map.serialize_entry("words", self.kind.words())?;
        map.serialize_entry("detail", &self.detail)?;
        map.serialize_entry("mend", &self.mend())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_distinct() {
        let mut names: Vec<_> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FindingKind::ALL.len(), "a name stands for two kinds");
    }

    #[test]
    fn what_stands_in_an_additional_store_is_not_mended_here() {
        let finding = Finding::of_layer(FindingKind::LayerModified, "a").at("/x").detail("gone");
        assert_eq!(finding.to_string(), "layer content modified: /x: gone");
        assert_eq!((finding.mend(), finding.in_store(1).mend()), (Mend::Delete, Mend::ByHand));
    }
}
