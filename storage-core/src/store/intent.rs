//! Intents: what a writer is about to half-do, written before it does.
//!
//! An intent is made and removed by a holder of the exclusive lock, so one found by the next holder was left by a process
//! that died. There is one file for changes of layers and one for mounts. See `docs/on-disk.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::records::json;
use super::{ItemKind, Store};
use crate::error::{Error, Kind, Result};
use crate::locks::{Flush, Kernel, World};

/// The version of the intents' form.
const VERSION: u32 = 1;

/// A change of layers that isn't one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub(super) enum Intent {
    /// The layer's parts are being put in place; without a record they are to be removed.
    Create {
        /// The layer.
        id: String,
    },
    /// The layers' records are gone or about to go; without a record their parts are to be removed.
    Delete {
        /// The layers.
        ids: Vec<String>,
    },
    /// The record of an image or a container is about to go, and these layers with it: without the record, and as far as nobody
    /// uses them, they are to be removed.
    DeleteWith {
        /// What owns the layers.
        owner: ItemKind,
        /// Its id.
        id: String,
        /// The layers.
        layers: Vec<String>,
    },
    /// The layer is made for a container: without a record of the container it is to be removed.
    CreateFor {
        /// The container.
        container: String,
        /// The layer.
        layer: String,
    },
    /// The layer's content is being exchanged; once the driver shows the new content, the new record holds.
    Replace {
        /// The layer.
        id: String,
        /// What the driver says of the new content.
        identity: String,
        /// The new record, as JSON.
        record: String,
    },
}

/// An intent, and the version of its form.
#[derive(Serialize, Deserialize)]
struct Said {
    version: u32,
    intent: Intent,
}

/// Layers whose parts could not be removed.
#[derive(Serialize, Deserialize)]
struct Noted {
    version: u32,
    ids: Vec<String>,
}

/// A mount whose count is about to differ from it.
#[derive(Serialize, Deserialize)]
struct Mounting {
    version: u32,
    id: String,
}

impl Store {
    pub(super) fn intent_path(&self) -> PathBuf {
        self.layers_home().join("lamina-intent")
    }

    pub(super) fn mounting_path(&self) -> PathBuf {
        self.run_home().join("lamina-mounting")
    }

    /// Says what is about to be done. The layers are held for writing.
    pub(super) fn say(&self, intent: &Intent) -> Result<()> {
        let text = json::to_string(&Said { version: VERSION, intent: intent.clone() })?;
        Kernel::new().replace(&self.intent_path(), text.as_bytes(), Flush::Nothing).map(|_| ())
    }

    /// As [`Store::say`], but a full disk is no failure: what would be left is garbage that `gc` finds.
    pub(super) fn say_if_there_is_room(&self, intent: &Intent) -> Result<()> {
        match self.say(intent) {
            Err(error) if error.kind() == Kind::NoSpace => Ok(()),
            other => other,
        }
    }

    /// It is done, or undone.
    pub(super) fn said_and_done(&self) -> Result<()> {
        Kernel::new().unlink(&self.intent_path())
    }

    /// What a dead writer was about to do. Fails with [`Kind::Corrupt`] for an intent that can't be understood; an empty file,
    /// which only a loss of power leaves, says nothing.
    pub(super) fn last_words(&self) -> Result<Option<Intent>> {
        let path = self.intent_path();
        let said: Option<Said> = read(&path)?;
        Ok(said.map(|said| said.intent))
    }

    /// Layers whose parts could not be removed; `gc` tries them again.
    pub(super) fn kept_in_mind(&self) -> Result<Vec<String>> {
        let noted: Option<Noted> = read(&self.stuck_path())?;
        Ok(noted.map(|noted| noted.ids).unwrap_or_default())
    }

    /// Notes layers whose parts could not be removed. The layers are held for writing.
    pub(super) fn keep_in_mind(&self, ids: &[String]) -> Result<()> {
        let ids: BTreeSet<String> = self.kept_in_mind()?.into_iter().chain(ids.iter().cloned()).collect();
        self.note(ids.into_iter().collect())
    }

    /// Notes just these layers.
    pub(super) fn note(&self, ids: Vec<String>) -> Result<()> {
        if ids.is_empty() {
            return Kernel::new().unlink(&self.stuck_path());
        }
        let text = json::to_string(&Noted { version: VERSION, ids })?;
        Kernel::new().replace(&self.stuck_path(), text.as_bytes(), Flush::Nothing).map(|_| ())
    }

    fn stuck_path(&self) -> PathBuf {
        self.layers_home().join("lamina-stuck")
    }

    /// Says that the layer's mount and count are about to differ. The mount counts are held for writing.
    pub(super) fn say_mounting(&self, id: &str) -> Result<()> {
        let text = json::to_string(&Mounting { version: VERSION, id: id.to_owned() })?;
        Kernel::new().replace(&self.mounting_path(), text.as_bytes(), Flush::Nothing).map(|_| ())
    }

    /// Mount and count agree.
    pub(super) fn mounting_done(&self) -> Result<()> {
        Kernel::new().unlink(&self.mounting_path())
    }

    /// The layer whose mount and count a dead process left apart.
    pub(super) fn left_mounting(&self) -> Result<Option<String>> {
        let left: Option<Mounting> = read(&self.mounting_path())?;
        Ok(left.map(|left| left.id))
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some((bytes, _)) = Kernel::new().read(path)? else { return Ok(None) };
    if bytes.is_empty() {
        return Ok(None);
    }
    let refused = |why: String| {
        Error::new(Kind::Corrupt, "read intent")
            .at(path)
            .detail(why)
            .remedy("use the version of lamina that wrote it, or remove it and run `lamina gc`")
    };
    let Version { version } = serde_json::from_slice(&bytes).map_err(|source| refused(source.to_string()))?;
    if version != VERSION {
        return Err(refused(format!("it has version {version}")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|source| refused(source.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_intent_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("intent");
        for intent in [
            Intent::Create { id: "a".into() },
            Intent::Delete { ids: vec!["a".into(), "b".into()] },
            Intent::Replace { id: "a".into(), identity: "1:2".into(), record: r#"{"id":"a"}"#.into() },
        ] {
            let text = json::to_string(&Said { version: VERSION, intent: intent.clone() }).expect("JSON");
            std::fs::write(&path, text).expect("write");
            assert_eq!(read::<Said>(&path).expect("read").map(|said| said.intent), Some(intent));
        }
    }

    #[test]
    fn an_intent_of_another_version_is_refused_and_an_empty_one_says_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("intent");
        std::fs::write(&path, "").expect("write");
        assert!(read::<Said>(&path).expect("empty").is_none());
        for text in [
            r#"{"version":1,"intent":{"operation":"transmute"}}"#,
            r#"{"version":2,"intent":{"operation":"create","id":"a"}}"#,
        ] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(read::<Said>(&path).map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt), "{text}");
        }
    }
}
