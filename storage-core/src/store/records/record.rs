//! What a record is, whatever it describes.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::json;
use crate::error::{Kind, Result};

/// Which file a record stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// The file that survives power loss.
    #[default]
    Stable = 0,
    /// The `volatile-` file: lost with the machine's power.
    Volatile = 1,
    /// The file of a separate image store.
    ImageStore = 2,
}

impl Location {
    const ALL: [Location; 3] = [Location::Stable, Location::Volatile, Location::ImageStore];

    /// The location of the file that is number `file` of its level.
    pub(crate) fn of_file(file: usize) -> Self {
        Self::ALL.get(file).copied().unwrap_or_default()
    }
}

/// Which of two owners of one name keeps it, when they stand in different files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameScope {
    /// A name is unique over all files of the level: the later owner keeps it, and the next writer says so.
    Level,
    /// Each file has its own names; the earlier file is asked first.
    File,
}

/// A record of one kind: a layer, an image, a container.
pub trait Record: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The word for one.
    const ONE: &'static str;
    /// The word for several, which is also the verb that lists them.
    const MANY: &'static str;
    /// What a load is called in errors.
    const LOADING: &'static str;
    /// The condition that none is called so.
    const UNKNOWN: Kind;
    /// Where a name is unique.
    const NAME_SCOPE: NameScope;

    /// The identifier.
    fn id(&self) -> &str;
    /// Names.
    fn names(&self) -> &[String];
    /// Names, to be changed.
    fn names_mut(&mut self) -> &mut Vec<String>;
    /// The keys of the data that hangs on it.
    fn data_names(&self) -> &[String];
    /// Text that belongs to the user.
    fn metadata_mut(&mut self) -> &mut String;
    /// The text that belongs to the user.
    fn metadata(&self) -> &str;
    /// Which file it stands in.
    fn location(&self) -> Location;
    /// Says which file it stands in.
    fn set_location(&mut self, location: Location);
    /// The bytes of the record, if it has not changed since it was read or written.
    fn raw(&self) -> Option<&Arc<str>>;
    /// Keeps the bytes of the record, or forgets them because it is about to change.
    fn set_raw(&mut self, raw: Option<Arc<str>>);

    /// Another identifier by which it is found: that of a container's layer.
    fn alias(&self) -> Option<&str> {
        None
    }

    /// Whether it is half-made or half-deleted, for the next writer to delete.
    fn is_incomplete(&self) -> bool {
        false
    }

    /// Notes that it is called `name` now.
    fn called(&mut self, _name: &str) {}

    /// The record as the reference would write it.
    fn to_json(&self) -> Result<String> {
        match self.raw() {
            Some(raw) => Ok(raw.to_string()),
            None => json::to_string(self),
        }
    }
}
