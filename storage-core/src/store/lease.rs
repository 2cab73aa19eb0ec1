//! Leases: layers that somebody is about to use, kept from being deleted between the steps of a load or a build; and layers
//! that somebody is making step by step, which go again when the whole is not finished.
//!
//! ```text
//! GRAPHROOT/<driver>-layers/lamina-leases/X   0600   held by flock:
//!   1                                                the version
//!   ID                                               a layer that is kept
//!   ID CREATED                                       a layer that the holder makes, and the time its record has
//! ```
//!
//! A lease lives as long as its process holds it. The next holder of the layers for writing ends one that nobody holds:
//! layers made under it that nobody uses are deleted. The reference knows nothing of leases: what it deletes is gone, and
//! whoever leased it is told when they use it.
#![allow(clippy::disallowed_methods, reason = "leases are files that only Lamina knows")]

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Store;
use super::intent::Intent;
use super::layers::LayerTable;
use super::recovery::LayersGuard;
use super::rubbish::Rubbish;
use crate::error::{Error, Kind, OsContext, Result};
use crate::fs::FileId;
use crate::ids::{LayerId, random_name};
use crate::locks::ThreadKey;
use crate::task::Task;

/// The first line of a lease.
const VERSION: &str = "1";

/// Layers that Lamina doesn't delete while this value lives.
#[derive(Debug)]
#[must_use = "the layers are kept only while the lease lives"]
pub struct Lease<'s> {
    store: &'s Store,
    /// None once it is given up.
    file: Option<File>,
    path: PathBuf,
    end: End,
}

/// What is to be done with the file at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is removed: nothing was made.
    Removed,
    /// It stays, so that the next writer looks whether what was made is used.
    Left,
}

/// What the file of a lease says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    kept: Vec<String>,
    /// Ids and times, in the order in which they were made.
    made: Vec<(String, String)>,
}

impl Said {
    fn parse(text: &str) -> Self {
        let mut said = Said::default();
        // A line without its end was never finished.
        let lines = text.split_inclusive('\n').skip(1).filter_map(|line| line.strip_suffix('\n'));
        for line in lines {
            match line.split_once(' ') {
                Some((id, created)) => said.made.push((id.to_owned(), created.to_owned())),
                None => said.kept.push(line.to_owned()),
            }
        }
        said
    }

    /// All layers that it names.
    fn layers(self) -> impl Iterator<Item = String> {
        self.kept.into_iter().chain(self.made.into_iter().map(|(id, _)| id))
    }

    /// The layers that were made and are there as they were made, the last one first.
    fn still_there(&self, table: &LayerTable) -> Vec<String> {
        let as_made = |(id, created): &&(String, String)| table.get(id).is_some_and(|layer| layer.created == *created);
        self.made.iter().rev().filter(as_made).map(|(id, _)| id.clone()).collect()
    }
}

impl Store {
    fn leases_home(&self) -> PathBuf {
        self.layers_home().join("lamina-leases")
    }

    /// Begins a lease of no layers.
    pub fn lease(&self) -> Result<Lease<'_>> {
        let home = self.leases_home();
        DirBuilder::new().recursive(true).mode(0o700).create(&home).os("mkdir", &home)?;
        loop {
            let path = home.join(random_name(b"0123456789", 12)?);
            let made = File::options().create_new(true).append(true).read(true).mode(0o600).open(&path);
            let mut file = made.os("open", &path)?;
            // Whoever looks at it just now lets go at once.
            fs2::FileExt::lock_exclusive(&file).os("flock", &path)?;
            // Whoever looked between the two took it for a dead one's and removed it.
            if FileId::of_path(&path)? == Some(FileId::of_fd(&file, &path)?) {
                writeln!(file, "{VERSION}").os("write", &path)?;
                return Ok(Lease { store: self, file: Some(file), path, end: End::Removed });
            }
        }
    }

    /// The layers that living processes lease. The layers are held for writing.
    pub(super) fn leased_layers(&self) -> Result<HashSet<String>> {
        let mut leased = HashSet::new();
        self.each_lease(|_, _, said, life| {
            if life == Life::Held {
                leased.extend(said.layers());
            }
            Ok(())
        })?;
        Ok(leased)
    }

    /// Ends the leases that nobody holds: layers made under them that nobody uses go.
    pub(super) fn end_dead_leases(&self, guard: &mut LayersGuard<'_>, rubbish: &mut Rubbish<'_>) -> Result<()> {
        // Gathered first, and held until it is removed: who begins one meanwhile waits, and then finds it gone.
        let (mut dead, mut leased) = (Vec::new(), HashSet::new());
        self.each_lease(|path, file, said, life| {
            match life {
                Life::Dead => dead.push((path.to_path_buf(), file, said)),
                Life::Held => leased.extend(said.layers()),
            }
            Ok(())
        })?;
        for (path, _held, said) in dead {
            let made = said.still_there(guard.table());
            // While it can't be told who uses them the layers stay, and the lease.
            match self.unneeded_but(guard.table(), &made, &leased) {
                Ok(going) if going.is_empty() => {}
                Ok(going) => {
                    let ids = going.iter().map(|id| LayerId::from_store(id)).collect::<Result<Vec<_>>>()?;
                    self.say_if_there_is_room(&Intent::Delete { ids: going })?;
                    self.forget_layers(guard, &ids, rubbish)?;
                }
                Err(error) if error.kind() == Kind::LockMisuse => return Err(error),
                Err(_) => continue,
            }
            std::fs::remove_file(&path).os("unlink", &path)?;
        }
        Ok(())
    }

    fn each_lease(&self, mut each: impl FnMut(&Path, File, Said, Life) -> Result<()>) -> Result<()> {
        let home = self.leases_home();
        let entries = match std::fs::read_dir(&home) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.os("read directory", &home)?,
        };
        for entry in entries {
            let path = entry.os("read directory", &home)?.path();
            let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path);
            let Ok(mut file) = opened else { continue };
            let life = if fs2::FileExt::try_lock_exclusive(&file).is_ok() { Life::Dead } else { Life::Held };
            let mut text = String::new();
            file.read_to_string(&mut text).os("read", &path)?;
            each(&path, file, Said::parse(&text), life)?;
        }
        Ok(())
    }
}

/// Whether a process holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Held,
    Dead,
}

impl Lease<'_> {
    /// Keeps the layer called `wanted` as well. Holds `layers.lock` shared, so that it is there when it is noted. Fails with
    /// [`Kind::LayerUnknown`]; layers of additional stores need no lease. Returns the layer's id.
    pub fn keep(&mut self, key: &mut ThreadKey, wanted: &str) -> Result<String> {
        let _purpose = crate::record::purpose("keep");
        let (guard, _key) = self.store.layers.read(key, &self.store.wait)?;
        let layer = match guard.table().resolve(wanted, "lease layer") {
            Ok(layer) => layer,
            Err(error) if error.kind() == Kind::LayerUnknown => {
                return Ok(self.store.layer_sight()?.layer(wanted, "lease layer")?.1.id.clone());
            }
            Err(error) => return Err(error),
        };
        self.note(&layer.id)?;
        Ok(layer.id.clone())
    }

    /// Notes a layer that is about to be made, with the time that its record will have.
    pub(super) fn making(&mut self, id: &str, created: &str) -> Result<()> {
        self.end = End::Left;
        self.note(&format!("{id} {created}"))
    }

    fn note(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Err(Error::new(Kind::Usage, "lease layer").detail("the lease was given up"));
        };
        // One write, so that a line is there or not.
        file.write_all(format!("{line}\n").as_bytes()).os("write", &self.path)
    }

    /// Ends the lease of work that is finished: what was made is used, or is to stay all the same.
    pub fn finish(mut self) {
        self.end = End::Removed;
    }

    /// Ends the lease of work that failed: the layers made under it that nobody uses are deleted. Holds `layers.lock`
    /// exclusively; the trees are deleted after it is released.
    pub fn give_up(mut self, key: &mut ThreadKey) -> Result<()> {
        let _purpose = crate::record::purpose("give up");
        if self.end == End::Removed {
            return Ok(());
        }
        // As when the process had died: whoever writes next ends the lease, and that is this one.
        self.file = None;
        let task = Task::new("give up");
        let mut rubbish = Rubbish::of(self.store).watched_by(&task);
        self.store.write_layers(key, &mut rubbish).map(drop)
    }
}

impl Drop for Lease<'_> {
    /// What can't be removed is removed by the next holder of the layers.
    fn drop(&mut self) {
        if self.end == End::Removed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_a_lease_count() {
        let said = Said::parse("1\nkept\nmade 2026-11-22T10:41:53Z\nhalf 2026");
        let made = vec![("made".to_owned(), "2026-11-22T10:41:53Z".to_owned())];
        assert_eq!(said, Said { kept: vec!["kept".to_owned()], made });
        assert_eq!(Said::parse(""), Said::default());
    }
}
