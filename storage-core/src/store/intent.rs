//! Intents: what a writer is about to half-do, written before it does.
//!
//! An intent is made and removed by a holder of the exclusive lock, so one found by the next holder was left by a process
//! that died. There is one file for changes of layers and one for mounts. See `docs/on-disk.md`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Store;
use super::layers::json;
use crate::error::{Kind, Result};
use crate::locks::{Flush, Kernel, World};

/// The version of the intents' form.
const VERSION: u32 = 1;

/// A change of layers that isn't one step.
#[derive(Debug, Serialize, Deserialize)]
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
    /// The layer's content is being exchanged; once the driver shows the new content, the new record holds.
    Replace {
        /// The layer.
        id: String,
        /// What the driver says of the new content.
        identity: String,
        /// The new record.
        record: Box<RawValue>,
    },
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
        let text = json::to_string(&serde_json::json!({ "version": VERSION, "intent": intent }))?;
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

    /// What a dead writer was about to do. One that can't be understood had not begun.
    pub(super) fn last_words(&self) -> Result<Option<Intent>> {
        let Some((bytes, _)) = Kernel::new().read(&self.intent_path())? else { return Ok(None) };
        let envelope: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        Ok(envelope
            .filter(|envelope| envelope["version"] == VERSION)
            .and_then(|envelope| serde_json::from_str(&envelope["intent"].to_string()).ok()))
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
        let Some((bytes, _)) = Kernel::new().read(&self.mounting_path())? else { return Ok(None) };
        let left: Option<Mounting> = serde_json::from_slice(&bytes).ok();
        Ok(left.filter(|left| left.version == VERSION).map(|left| left.id))
    }
}
