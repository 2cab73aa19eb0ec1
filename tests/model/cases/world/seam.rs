//! The seam through which the library's code works in this world.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage_core::Result;
use storage_core::locks::{Flush, World};

use super::{Fault, Sim, SimSeen};
use crate::raw::{Raw, plain};

impl World for Sim {
    type Files = Sim;
    type Raw = Raw;
    type Seen = SimSeen;

    fn read(&self, path: &Path) -> Result<Option<(Vec<u8>, SimSeen)>> {
        self.step()?;
        let mut state = self.universe.state();
        let Some(node) = state.names.get(path).copied() else { return Ok(None) };
        let bytes = state.nodes.get(&node).map(|node| node.bytes.clone()).unwrap_or_default();
        let seen = self.seen(&mut state, node, path);
        Ok(Some((bytes, seen)))
    }

    fn is_current(&self, path: &Path, seen: Option<&SimSeen>) -> Result<bool> {
        self.step()?;
        let state = self.universe.state();
        if self.fault == Fault::StaleAfterRetry && self.process.retrying.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if self.fault == Fault::PublishedBeforeSaved
            && let (Some(SimSeen::Held(file)), Some((_, _, node))) = (seen, &*plain(&self.process.unnamed))
            && file.node == *node
        {
            return Ok(true);
        }
        let there = state.names.get(path).and_then(|node| state.nodes.get(node).map(|found| (node, found)));
        Ok(match (there, seen) {
            (None, None) => true,
            (Some((_, found)), Some(SimSeen::Number(number, writer))) => {
                found.number == *number && Self::last_writer_beside(&state, path) == *writer
            }
            (Some((node, _)), Some(SimSeen::Held(file))) => *node == file.node,
            _ => false,
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8], _flush: Flush) -> Result<SimSeen> {
        self.replace_file(path, bytes)
    }

    fn flush_directory(&self, _path: &Path) -> Result<()> {
        Ok(())
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        self.step()?;
        self.universe.state().unlink(path);
        Ok(())
    }

    fn pause(&self, _length: Duration) {
        shuttle::thread::yield_now();
    }
}
