//! Intents: what a writer is about to half-do, written before it does.
//!
//! An intent is made and removed by a holder of the exclusive lock, so one found by the next holder was left by a process
//! that died. There is one file for changes of layers and one for mounts. See `docs/on-disk.md`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ItemKind, Store};
use crate::error::{Kind, Result};
use crate::locks::counting::Apart;
use crate::locks::{Kernel, VERSION, Words};

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
    /// The layer is made for an image or a container whose record is about to name it: as long as nobody does, it is to be
    /// removed.
    CreateFor {
        /// What it is made for.
        owner: ItemKind,
        /// The id of that.
        id: String,
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
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    version: u32,
    pub(super) intent: Intent,
}

impl Said {
    pub(super) fn of(intent: &Intent) -> Self {
        Said { version: VERSION, intent: intent.clone() }
    }
}

/// Layers whose parts could not be removed.
#[derive(Serialize, Deserialize)]
struct Noted {
    version: u32,
    ids: Vec<String>,
}

impl Store {
    pub(super) fn intent_path(&self) -> PathBuf {
        self.layers_home().join("lamina-intent")
    }

    pub(super) fn mounting_path(&self) -> PathBuf {
        self.run_home().join("lamina-mounting")
    }

    /// What writers say of layers. They are held for writing.
    pub(super) fn words(&self) -> Words<Kernel, Said> {
        Words::new(Kernel::new(), self.intent_path())
    }

    /// What is said of mounts. The mount counts are held for writing.
    pub(super) fn mounting_words(&self) -> Words<Kernel, Apart> {
        Words::new(Kernel::new(), self.mounting_path())
    }

    /// Says what is about to be done. The layers are held for writing.
    pub(super) fn say(&self, intent: &Intent) -> Result<()> {
        self.words().say(&Said::of(intent))
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
        self.words().done()
    }

    /// Layers whose parts could not be removed; `gc` tries them again.
    pub(super) fn kept_in_mind(&self) -> Result<Vec<String>> {
        Ok(self.stuck().last()?.map(|noted| noted.ids).unwrap_or_default())
    }

    /// Notes layers whose parts could not be removed. The layers are held for writing.
    pub(super) fn keep_in_mind(&self, ids: &[String]) -> Result<()> {
        let ids: BTreeSet<String> = self.kept_in_mind()?.into_iter().chain(ids.iter().cloned()).collect();
        self.note(ids.into_iter().collect())
    }

    /// Notes just these layers.
    pub(super) fn note(&self, ids: Vec<String>) -> Result<()> {
        if ids.is_empty() {
            return self.stuck().done();
        }
        self.stuck().say(&Noted { version: VERSION, ids })
    }

    fn stuck(&self) -> Words<Kernel, Noted> {
        Words::new(Kernel::new(), self.layers_home().join("lamina-stuck"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &std::path::Path) -> Words<Kernel, Said> {
        Words::new(Kernel::new(), path)
    }

    #[test]
    fn every_intent_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("intent");
        for intent in [
            Intent::Create { id: "a".into() },
            Intent::Delete { ids: vec!["a".into(), "b".into()] },
            Intent::Replace { id: "a".into(), identity: "1:2".into(), record: r#"{"id":"a"}"#.into() },
        ] {
            words(&path).say(&Said::of(&intent)).expect("say");
            assert_eq!(words(&path).last().expect("read").map(|said| said.intent), Some(intent));
        }
    }

    #[test]
    fn an_intent_of_another_version_is_refused_and_an_empty_one_says_nothing() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("intent");
        std::fs::write(&path, "").expect("write");
        assert!(words(&path).last().expect("empty").is_none());
        std::fs::write(&path, [0; 300]).expect("write");
        assert!(words(&path).last().expect("zeros").is_none());
        for text in [
            r#"{"version":1,"intent":{"operation":"transmute"}}"#,
            r#"{"version":2,"intent":{"operation":"create","id":"a"}}"#,
        ] {
            std::fs::write(&path, text).expect("write");
            assert_eq!(words(&path).last().map(|_| ()).map_err(|error| error.kind()), Err(Kind::Corrupt), "{text}");
        }
    }
}
