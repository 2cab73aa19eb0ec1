//! Intents: what a writer is about to half-do, said in a file before it does.
//!
//! Only a holder of the exclusive lock says something and takes it back, so what the next holder finds was left by a process
//! that died. The text has a version: what a later one says is refused, not guessed at.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::world::{Flush, World};
use crate::error::{Error, Kind, Result};

/// The version of the intents' form. Every form has it as its field `version`.
pub const VERSION: u32 = 1;

/// The file in which writers say what they are about to do, in the form `T`.
pub struct Words<W, T> {
    world: W,
    path: PathBuf,
    form: PhantomData<fn() -> T>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl<W: World, T: Serialize + DeserializeOwned> Words<W, T> {
    /// What is said in the file at `path`.
    pub fn new(world: W, path: impl Into<PathBuf>) -> Self {
        Words { world, path: path.into(), form: PhantomData }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says what is about to be done.
    pub fn say(&self, words: &T) -> Result<()> {
        let text = serde_json::to_vec(words)
            .map_err(|source| Error::new(Kind::Io, "say intent").at(&self.path).detail(source.to_string()))?;
        self.world.replace(&self.path, &text, Flush::Nothing).map(drop)
    }

    /// It is done, or undone.
    pub fn done(&self) -> Result<()> {
        self.world.unlink(&self.path)
    }

    /// What a dead writer was about to do. Fails with [`Kind::Corrupt`] for what can't be understood; an empty file or one of
    /// zeros, which only a loss of power leaves, says nothing.
    pub fn last(&self) -> Result<Option<T>> {
        let Some((bytes, _)) = self.world.read(&self.path)? else { return Ok(None) };
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let Version { version } = serde_json::from_slice(&bytes).map_err(|source| self.refused(source.to_string()))?;
        if version != VERSION {
            return Err(self.refused(format!("it has version {version}")));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|source| self.refused(source.to_string()))
    }

    fn refused(&self, why: String) -> Error {
        Error::new(Kind::Corrupt, "read intent")
            .at(&self.path)
            .detail(why)
            .remedy("use the version of lamina that wrote it, or remove it and run `lamina gc`")
    }
}

impl<W, T> fmt::Debug for Words<W, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("path", &self.path).finish_non_exhaustive()
    }
}
