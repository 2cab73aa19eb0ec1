//! Other implementations of the protocol, as far as it concerns ours: they take the same locks, judge by the last-writer
//! record alone, and write it before or after the records, by their version. Test code: nothing of it ships.

use std::path::{Path, PathBuf};

use storage_core::Result;
use storage_core::fs::{Files, Opening, Protocol};
use storage_core::lockfile::Mode;

use crate::explore::violate;
use crate::tables::Lines;
use crate::world::{Sim, SimFile};

/// In which order a peer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOrder {
    /// As versions since 1.48.
    LastWriterFirst,
    /// As version 1.43.
    RecordsFirst,
}

/// One process of a peer.
#[derive(Debug)]
pub(crate) struct Peer {
    world: Sim,
    file: PathBuf,
    order: WriteOrder,
    writes: u64,
    loaded: Option<(Vec<u8>, Lines)>,
}

impl Peer {
    pub(crate) fn new(world: Sim, file: &Path, order: WriteOrder) -> Self {
        Peer { world, file: file.to_path_buf(), order, writes: 0, loaded: None }
    }

    fn hold(&mut self, mode: Mode) -> Result<(SimFile, Lines)> {
        let path = self.file.with_extension("lock");
        let lock = self.world.open(&path, Opening::Lock)?;
        self.world.lock(&lock, &path, Protocol::Record, mode)?;
        let mut writer = vec![0; 64];
        let length = self.world.read_at(&lock, &path, &mut writer, 0)?;
        writer.truncate(length);
        let table = match &self.loaded {
            Some((loaded, table)) if *loaded == writer => table.clone(),
            _ => self.load()?,
        };
        self.loaded = Some((writer, table.clone()));
        let state = self.world.universe.state();
        let there = state.at(&self.file).map(|node| Lines::of(&node.bytes)).unwrap_or_default();
        if there != table && !self.world.is_dead() {
            violate(format!("a peer holds {table:?} for current, but the records are {there:?}"));
        }
        drop(state);
        Ok((lock, table))
    }

    fn load(&self) -> Result<Lines> {
        self.world.step()?;
        Ok(self.world.universe.state().at(&self.file).map(|node| Lines::of(&node.bytes)).unwrap_or_default())
    }

    /// Holds the records for reading, for a moment.
    pub(crate) fn look(&mut self) -> Result<Lines> {
        self.hold(Mode::Shared).map(|(_, table)| table)
    }

    /// Changes the records in as many saves as `changes` has items, under one hold.
    pub(crate) fn update(&mut self, changes: &[&dyn Fn(&Lines) -> Lines]) -> Result<Lines> {
        let (lock, mut table) = self.hold(Mode::Exclusive)?;
        for change in changes {
            table = change(&table);
            self.writes += 1;
            let mut writer = format!("peer {} {} ", self.world.number(), self.writes).into_bytes();
            writer.resize(64, b'.');
            if self.order == WriteOrder::LastWriterFirst {
                self.world.write_start(&lock, &lock.path, &writer)?;
            }
            drop(self.world.replace_file(&self.file, &table.bytes())?);
            if self.order == WriteOrder::RecordsFirst {
                self.world.write_start(&lock, &lock.path, &writer)?;
            }
            self.loaded = Some((writer, table.clone()));
        }
        drop(lock);
        Ok(table)
    }
}
